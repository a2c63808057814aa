/* A stand-in for libnvidia-ml.so.1, for tests that let the real binding load it.

   It answers from the text file named by NVML_STUB, which is read again at every call, so that a
   test can change the world meanwhile. One fact a line:
       fail FUNCTION CODE                     every function whose name begins so returns CODE
       gpu UUID BUS USED MILLIJOULES BITS MIG a device; BITS: what slows it down; MIG: 1 if split
       mig UUID GPU USED                      an instance of GPU number GPU
       process UUID KIND PID BYTES            KIND: compute or graphics; BYTES: a number or "na"
   Compiled with -DOLD it lacks what drivers before 510 lacked: version 3 of the process lists, and
   the clocks' reasons under their new name. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
enum { MOST = 16, MIG_BASE = 100, TEXT = 80 };

typedef struct { char uuid[TEXT], bus[TEXT]; unsigned long long used, energy, bits; int mig; } gpu_t;
typedef struct { char uuid[TEXT]; int gpu; unsigned long long used; } mig_t;
typedef struct { char uuid[TEXT], kind[TEXT]; unsigned pid; unsigned long long bytes; } process_t;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; }
    process_info_t;
typedef struct { unsigned long long total, free, used; } memory_t;

static gpu_t gpus[MOST];
static mig_t migs[MOST];
static process_t processes[MOST];
static int n_gpus, n_migs, n_processes;

/* Reads the world; returns the code with which `function` is to fail. */
static int look(const char *function)
{
    char line[256], name[TEXT], bytes[TEXT];
    int code, found = SUCCESS;
    const char *path = getenv("NVML_STUB");
    FILE *file = path ? fopen(path, "r") : NULL;
    n_gpus = n_migs = n_processes = 0;
    if (!file) return 9; /* no driver */
    while (fgets(line, sizeof line, file)) {
        gpu_t *g = &gpus[n_gpus];
        mig_t *m = &migs[n_migs];
        process_t *p = &processes[n_processes];
        if (sscanf(line, "fail %79s %d", name, &code) == 2) {
            if (!strncmp(function, name, strlen(name))) found = code;
        } else if (sscanf(line, "gpu %79s %79s %llu %llu %llx %d", g->uuid, g->bus, &g->used,
                          &g->energy, &g->bits, &g->mig) == 6) {
            n_gpus++;
        } else if (sscanf(line, "mig %79s %d %llu", m->uuid, &m->gpu, &m->used) == 3) {
            n_migs++;
        } else if (sscanf(line, "process %79s %79s %u %79s", p->uuid, p->kind, &p->pid, bytes) == 4) {
            p->bytes = strcmp(bytes, "na") ? strtoull(bytes, NULL, 10) : ~0ull;
            n_processes++;
        }
    }
    fclose(file);
    return found;
}

#define LOOK() do { int code = look(__func__); if (code) return code; } while (0)

static void *handle(int number) { return (void *)(intptr_t)(number + 1); }
static int is_mig(void *device) { return (intptr_t)device > MIG_BASE; }
static mig_t *mig_of(void *device) { return &migs[(intptr_t)device - 1 - MIG_BASE]; }
static gpu_t *gpu_of(void *device) { return &gpus[(intptr_t)device - 1]; }
static const char *uuid_of(void *device)
{
    return is_mig(device) ? mig_of(device)->uuid : gpu_of(device)->uuid;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; LOOK(); return SUCCESS; }
int nvmlShutdown(void) { LOOK(); return SUCCESS; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the stub"; }

int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    LOOK();
    snprintf(out, size, "550.54.15");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *out) { LOOK(); *out = n_gpus; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out)
{
    LOOK();
    if (index >= (unsigned)n_gpus) return INVALID;
    *out = handle(index);
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **out)
{
    LOOK();
    for (int i = 0; i < n_gpus; i++)
        if (!strcmp(gpus[i].uuid, uuid)) { *out = handle(i); return SUCCESS; }
    for (int i = 0; i < n_migs; i++)
        if (!strcmp(migs[i].uuid, uuid)) { *out = handle(MIG_BASE + i); return SUCCESS; }
    return NOT_FOUND;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **out)
{
    LOOK();
    for (int i = 0; i < n_gpus; i++)
        if (!strcmp(gpus[i].bus, bus)) { *out = handle(i); return SUCCESS; }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(void *device, char *out, unsigned size)
{
    LOOK();
    snprintf(out, size, "%s", uuid_of(device));
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *out, unsigned size)
{
    LOOK();
    snprintf(out, size, "Stub %d", (int)(intptr_t)device);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *device, memory_t *out)
{
    LOOK();
    out->total = 1ull << 36;
    out->used = is_mig(device) ? mig_of(device)->used : gpu_of(device)->used;
    out->free = out->total - out->used;
    return SUCCESS;
}

static int list(const char *kind, void *device, unsigned *count, process_info_t *out)
{
    unsigned found = 0;
    for (int i = 0; i < n_processes; i++) {
        if (strcmp(processes[i].kind, kind) || strcmp(processes[i].uuid, uuid_of(device))) continue;
        if (out && found < *count) {
            out[found].pid = processes[i].pid;
            out[found].used = processes[i].bytes;
            out[found].gpu_instance = out[found].compute_instance = ~0u;
        }
        found++;
    }
    int fits = found <= *count;
    *count = found;
    return fits ? SUCCESS : INSUFFICIENT_SIZE;
}

#define LIST(name, kind) \
    int name(void *device, unsigned *count, process_info_t *out) \
    { LOOK(); return list(kind, device, count, out); }

LIST(nvmlDeviceGetComputeRunningProcesses_v2, "compute")
LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, "graphics")

static int reasons(void *device, unsigned long long *out)
{
    if (is_mig(device)) return NOT_SUPPORTED;
    *out = gpu_of(device)->bits;
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *out)
{
    LOOK();
    return reasons(device, out);
}

#ifndef OLD
LIST(nvmlDeviceGetComputeRunningProcesses_v3, "compute")
LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, "graphics")

int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *out)
{
    LOOK();
    return reasons(device, out);
}
#endif

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *out)
{
    LOOK();
    if (is_mig(device)) return NOT_SUPPORTED;
    *out = gpu_of(device)->energy;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending)
{
    LOOK();
    if (is_mig(device)) return INVALID;
    *current = *pending = gpu_of(device)->mig;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *out)
{
    (void)device;
    LOOK();
    *out = 7;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **out)
{
    LOOK();
    for (int i = 0; i < n_migs; i++)
        if (handle(migs[i].gpu) == device && index-- == 0) {
            *out = handle(MIG_BASE + i);
            return SUCCESS;
        }
    return NOT_FOUND;
}

int nvmlDeviceIsMigDeviceHandle(void *device, unsigned *out)
{
    LOOK();
    *out = is_mig(device);
    return SUCCESS;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *device, void **out)
{
    LOOK();
    *out = handle(mig_of(device)->gpu);
    return SUCCESS;
}
