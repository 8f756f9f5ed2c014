/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks/memory/ptx.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const char *at, *end;
};

struct word {
    const char *begin;
    size_t length;
};

static bool is(struct word word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.begin, text, word.length) == 0;
}

static void skip_to(struct reader *reader, const char *mark)
{
    const char *found = memmem(reader->at, (size_t)(reader->end - reader->at), mark, strlen(mark));
    reader->at = found ? found + strlen(mark) : reader->end;
}

static bool begins(const struct reader *reader, const char *mark)
{
    size_t length = strlen(mark);
    return (size_t)(reader->end - reader->at) >= length && !memcmp(reader->at, mark, length);
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.';
}

/* The next word, or one other character; empty at the end. Comments are skipped. */
static struct word next(struct reader *reader)
{
    while (reader->at < reader->end) {
        if (isspace((unsigned char)*reader->at))
            reader->at++;
        else if (begins(reader, "//"))
            skip_to(reader, "\n");
        else if (begins(reader, "/*"))
            skip_to(reader, "*/");
        else
            break;
    }
    struct word word = {reader->at, 0};
    while (reader->at < reader->end && in_word(*reader->at))
        reader->at++;
    if (reader->at == word.begin && reader->at < reader->end)
        reader->at++;
    word.length = (size_t)(reader->at - word.begin);
    return word;
}

static uint64_t number(struct word word)
{
    char digits[32] = "";
    memcpy(digits, word.begin, word.length < sizeof digits ? word.length : sizeof digits - 1);
    return strtoull(digits, NULL, 0);
}

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* Bytes of a type such as ".b8", ".f32" or ".pred"; 0 when the word is none. */
static uint64_t type_bytes(struct word word)
{
    if (word.length < 3 || word.length > 5 || !strchr("bsuf", word.begin[1]))
        return 0;
    for (size_t i = 2; i < word.length; i++)
        if (!isdigit((unsigned char)word.begin[i]))
            return 0;
    struct word bits = {word.begin + 2, word.length - 2};
    return number(bits) / 8;
}

/* Reads over "= {1, {2}}" or "= value", up to the comma or semicolon behind it. */
static void skip_value(struct reader *reader)
{
    int depth = 0;
    while (reader->at < reader->end) {
        struct reader before = *reader;
        struct word word = next(reader);
        depth += is(word, "{") - is(word, "}");
        if (depth <= 0 && (is(word, ",") || is(word, ";"))) {
            *reader = before;
            return;
        }
    }
}

static bool names(struct word word)
{
    return isalpha((unsigned char)*word.begin) || strchr("_$%", *word.begin);
}

/* Reads up to the end of a declaration: ".align 4 .b8 name[64][2] = {0}, other;". */
static uint64_t declared(struct reader *reader)
{
    uint64_t element = 0, bytes = 0, variable = 0;
    for (struct word word; (word = next(reader)).length && !is(word, ";") && !is(word, ")");) {
        if (type_bytes(word))
            element = times(element ? element : 1, type_bytes(word));
        else if (is(word, ".v2") || is(word, ".v4"))
            element = (uint64_t)(word.begin[2] - '0');
        else if (is(word, ".align"))
            next(reader);
        else if (is(word, "["))
            variable = times(variable, number(next(reader)));
        else if (is(word, "="))
            skip_value(reader);
        else if (element && names(word)) {
            if (__builtin_add_overflow(bytes, variable, &bytes))
                return UINT64_MAX;
            variable = element;
        }
    }
    return __builtin_add_overflow(bytes, variable, &bytes) ? UINT64_MAX : bytes;
}

uint64_t gs_ptx_bytes(const char *text, size_t length)
{
    struct reader reader = {text, text + length};
    uint64_t bytes = 0;
    bool elsewhere = false;
    for (struct word word; (word = next(&reader)).length;) {
        if (is(word, ".global") && !elsewhere
            && __builtin_add_overflow(bytes, declared(&reader), &bytes))
            return UINT64_MAX;
        elsewhere = is(word, ".extern") || is(word, ".ptr");
    }
    return bytes;
}
