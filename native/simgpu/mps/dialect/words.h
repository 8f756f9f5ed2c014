/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: split a command line into words.
 * Owner: the words point into the line.
 * Threads: one.
 * Limits: MPS_MAX_WORDS words.
 */
#ifndef GS_SIM_MPS_WORDS_H
#define GS_SIM_MPS_WORDS_H

int mps_words(char *line, char **words); /* returns how many */

#endif
