/* points.h: that a test of kills at fault points knows all of them.
 *
 * Promises: a point that is added to a source file and not to its test fails the test. Not here: what a kill does.  */
#ifndef PN_POINTS_H
#define PN_POINTS_H
#include "harness.h"

/* `source` stands in the directory above `test_file`. */
static inline FILE *open_source(const char *test_file, const char *source) {
    char path[4096];
    const char *slash = strrchr(test_file, '/');
    snprintf(path, sizeof path, "%.*s../%s", slash == NULL ? 0 : (int)(slash - test_file + 1), test_file, source);
    FILE *file = fopen(path, "r");
    if (file == NULL) perror(path);
    CHECK(file != NULL);
    return file;
}

static inline bool is_point(const char *name, const char *const *points, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(points[i], name) == 0) return true;
    return false;
}

static inline void check_points_are_all(const char *test_file, const char *source, const char *const *points, size_t n) {
    char line[1024];
    FILE *file = open_source(test_file, source);
    while (fgets(line, sizeof line, file) != NULL) {
        char *name = strstr(line, "PN_FAULT(\"");
        if (name == NULL) continue;
        name += strlen("PN_FAULT(\"");
        *strchr(name, '"') = '\0';
        if (!is_point(name, points, n)) fprintf(stderr, "%s: no test kills at %s\n", source, name);
        CHECK(is_point(name, points, n));
    }
    fclose(file);
}
#define CHECK_POINTS_ARE_ALL(source, points) check_points_are_all(__FILE__, source, points, sizeof(points) / sizeof *(points))

/* An offset that all processes of a test know. */
static inline void *object_at(int word) { return pn_at((pn_off)atomic_load(&shared->words[word])); }
static inline void note_object(int word, pn_off object) { atomic_store(&shared->words[word], (int64_t)object); }

static inline void kill_and_reap(pid_t child) {
    kill(child, SIGKILL);
    CHECK(reap(child) == -SIGKILL);
    pn_process_reaped((uint32_t)child, -SIGKILL);
}

static inline bool is_stopped(pid_t child) {
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fgets(line, sizeof line, file) != NULL);
    fclose(file);
    return strrchr(line, ')')[2] == 'T';
}
static inline void stop(pid_t child) {
    kill(child, SIGSTOP);
    AWAIT(is_stopped(child));
}
#endif
