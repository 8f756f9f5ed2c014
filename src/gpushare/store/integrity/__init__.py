# SPDX-License-Identifier: Apache-2.0
"""Whether the state is whole: checksums of rows, marks outside of the file, what was lost."""
