/* Calls of libc with paths, as a library of a program makes them: it is not written for the jail. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MUST(what) do { if (!(what)) { snprintf(wrong, sizeof wrong, "%s: %s", #what, strerror(errno)); return wrong; } } while (0)

static char wrong[256];

/* Returns null, or the check that failed. */
const char *check_paths(void) {
    struct stat about;
    char text[PATH_MAX];
    FILE *file;
    DIR *folder;
    int opened;

    MUST(file = fopen("/tmp/a", "w"));
    MUST(fputs("hello", file) >= 0);
    MUST(fclose(file) == 0);
    MUST(stat("/tmp/a", &about) == 0 && about.st_size == 5);
    MUST((opened = open("/home/user/b", O_CREAT | O_RDWR, 0600)) >= 0);
    MUST(close(opened) == 0);
    MUST(mkdir("/home/user/d", 0700) == 0);
    MUST(rename("/home/user/b", "/home/user/d/b") == 0);
    MUST(access("d/b", R_OK) == 0);
    MUST(symlink("/tmp/a", "/home/user/l") == 0);
    MUST(readlink("/home/user/l", text, sizeof text) == 6 && memcmp(text, "/tmp/a", 6) == 0);
    MUST((opened = open("/home/user/l", O_RDONLY)) >= 0);
    MUST(read(opened, text, sizeof text) == 5);
    MUST(close(opened) == 0);
    MUST(realpath("/home/user/l", text) && strcmp(text, "/tmp/a") == 0);
    MUST(getcwd(text, sizeof text) && strcmp(text, "/home/user") == 0);
    MUST(chdir("/tmp") == 0);
    MUST(getcwd(text, sizeof text) && strcmp(text, "/tmp") == 0);
    MUST(chmod("/tmp/a", 0600) == 0);
    MUST(chmod("/tmp/nothing", 0600) == -1 && errno == ENOENT);
    MUST(truncate("/tmp/a", 2) == 0);
    MUST(stat("/tmp/a", &about) == 0 && about.st_size == 2);
    MUST(mkfifo("/tmp/f", 0600) == 0);
    MUST(folder = opendir("/home/user"));
    MUST(readdir(folder));
    MUST(closedir(folder) == 0);
    MUST(unlink("/tmp/a") == 0);
    MUST(access("/tmp/a", F_OK) == -1 && errno == ENOENT);
    return NULL;
}
