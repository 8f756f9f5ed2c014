# SPDX-License-Identifier: Apache-2.0
"""The scheduler in virtual time: arrivals and a policy in, waits and use of the GPUs out.

No daemon runs, no GPU is touched and no time passes. `engine` serves arrivals as the daemon does,
with the scheduler's own decisions; `speeds` says how fast programs are that compute on one GPU;
`measures` what a course of events comes to, however it was decided; `trace` is the file of
a recorded day, `record` makes one from the audit log, and `replay` runs it again.
"""
