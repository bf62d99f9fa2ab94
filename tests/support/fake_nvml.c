/* What the package asks of NVIDIA's library: FAKE_GPUS devices, with a UUID each. */
#include <stdio.h>
#include <stdlib.h>

static unsigned count(void) {
    const char *given = getenv("FAKE_GPUS");
    return given ? (unsigned)atoi(given) : 0;
}

int nvmlInit_v2(void) { return getenv("FAKE_GPUS") ? 0 : 9; /* no driver */ }
int nvmlShutdown(void) { return 0; }

int nvmlDeviceGetCount_v2(unsigned *found) {
    *found = count();
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    if (index >= count()) return 2;
    *device = (void *)(size_t)(index + 1);
    return 0;
}

int nvmlDeviceGetUUID(void *device, char *text, unsigned length) {
    snprintf(text, length, "GPU-fake-%u", (unsigned)(size_t)device - 1);
    return 0;
}
