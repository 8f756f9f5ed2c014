/* SPDX-License-Identifier: Apache-2.0 */
#include "mps/dialect/words.h"

#include <string.h>

#include "mps/state.h"

int mps_words(char *line, char **words)
{
    int count = 0;
    char *rest = line, *word;
    while (count < MPS_MAX_WORDS && (word = strsep(&rest, " \t")) != NULL)
        if (*word != '\0')
            words[count++] = word;
    return count;
}
