/* reached.h: that a test of kills at every point really came by all the points of a source file.
 *
 * Promises: a point that is added to the file and not reached by the test fails it. Not here: what a kill does.  */
#ifndef PN_REACHED_H
#define PN_REACHED_H
#include "points.h"

#define REACHED_MAX 200
#define REACHED_NAME 64
typedef struct reached_points { _Atomic uint32_t count; char names[REACHED_MAX][REACHED_NAME]; } reached_points;
static reached_points *reached;

static inline bool is_reached(const char *name) {
    uint32_t n = atomic_load(&reached->count);
    for (uint32_t i = 0; i < n && i < REACHED_MAX; i++)
        if (strcmp(reached->names[i], name) == 0) return true;
    return false;
}

/* Two processes may note the same point twice: harmless. */
static inline void note_point(const char *name) {
    if (is_reached(name)) return;
    uint32_t i = atomic_fetch_add(&reached->count, 1);
    if (i < REACHED_MAX) snprintf(reached->names[i], REACHED_NAME, "%s", name);
}

/* From now on, in this process and in those that it starts. */
static inline void note_points(void) {
    reached = mmap(NULL, sizeof *reached, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pn_fault_set_hook(note_point);
    CHECK(pn_fault_arm("*", PN_FAULT_HOOK, 0) == PN_OK);
}

static inline bool is_elsewhere(const char *name, const char *const *elsewhere) {
    for (; *elsewhere != NULL; elsewhere++)
        if (strncmp(name, *elsewhere, strlen(*elsewhere)) == 0) return true;
    return false;
}

/* All points in `source` but those that begin with one of `elsewhere` (ends with NULL). */
static inline void check_all_reached(const char *test_file, const char *source, const char *const *elsewhere) {
    char line[1024];
    FILE *file = open_source(test_file, source);
    while (fgets(line, sizeof line, file) != NULL) {
        char *name = strstr(line, "PN_FAULT(\"");
        if (name == NULL) continue;
        name += strlen("PN_FAULT(\"");
        *strchr(name, '"') = '\0';
        if (is_elsewhere(name, elsewhere) || is_reached(name)) continue;
        fprintf(stderr, "%s: no kill at %s\n", source, name);
        atomic_store(&shared->failed, 1);
    }
    fclose(file);
}
#define check_reached(source, ...) check_all_reached(__FILE__, source, (const char *const[]){__VA_ARGS__})
#endif
