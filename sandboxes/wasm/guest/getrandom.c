/* Preloaded into componentize-py while it makes the snapshot: "random" bytes that are always the same. CPython draws
   the secret of its string hashes when it starts, which here is at build time; with this, sets of strings have one
   order on every machine. It is never part of the guest or of the program. */
#include <stddef.h>
#include <sys/types.h>

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
    unsigned char *bytes = buffer;
    (void)flags;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(i * 151 + 17);
    return (ssize_t)length;
}
