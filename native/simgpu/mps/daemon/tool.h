/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: the control tool: each line of standard input, or the words after the options, is one
 *   command.
 * Owner: none.
 * Threads: one.
 * Limits: a command has at most 511 characters.
 */
#ifndef GS_SIM_MPS_TOOL_H
#define GS_SIM_MPS_TOOL_H

int mps_tool_run(int argc, char **argv);

#endif
