// A Vulkan driver that passes every call to another driver, and returns an error for one call of one function.
//
// cc -shared -fPIC -o libicd.so icd.c -ldl
//
// Environment variables:
//   WRAPPED_DRIVER  the file name of the other driver's library
//   FAILING_CALL    the name of the function, which must return a VkResult and take at most nine integers or pointers;
//                   if it is not set, no call fails
//   FAILING_NUMBER  which call of the function fails, where 1 is the first (default 1)
//   FAILING_RESULT  the VkResult of this call, as a number (default -4, VK_ERROR_DEVICE_LOST)
//   FAILURES        a file to which a line is appended when the call fails

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef void (*Function)(void);
typedef Function (*GetProcAddr)(void *object, const char *name);
typedef intptr_t Word;
typedef int32_t (*Call)(Word, Word, Word, Word, Word, Word, Word, Word, Word);

static Call wrapped_call;
static GetProcAddr wrapped_device_proc;

static Function wrapped_symbol(const char *name) {
    static void *library;
    if (!library) library = dlopen(getenv("WRAPPED_DRIVER"), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return (Function)dlsym(library, name);
}

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

// Takes as many arguments as any function has. Those that a function does not have are not read by the wrapped driver.
static int32_t failing_call(Word a, Word b, Word c, Word d, Word e, Word f, Word g, Word h, Word i) {
    static long calls;
    long call = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (call != number("FAILING_NUMBER", 1)) return wrapped_call(a, b, c, d, e, f, g, h, i);
    const char *path = getenv("FAILURES");
    FILE *failures = path ? fopen(path, "a") : NULL;
    if (failures) {
        fprintf(failures, "%s %ld\n", getenv("FAILING_CALL"), call);
        fclose(failures);
    }
    return (int32_t)number("FAILING_RESULT", -4);
}

static Function device_proc(void *device, const char *name);

// Returns this driver's own function for `name` if it has one, else the wrapped driver's `function`.
static Function replaced(const char *name, Function function) {
    const char *failing = getenv("FAILING_CALL");
    if (!function) return NULL;
    if (!strcmp(name, "vkGetDeviceProcAddr")) {
        wrapped_device_proc = (GetProcAddr)function;
        return (Function)device_proc;
    }
    if (!failing || strcmp(name, failing)) return function;
    wrapped_call = (Call)function;
    return (Function)failing_call;
}

static Function device_proc(void *device, const char *name) {
    return replaced(name, wrapped_device_proc(device, name));
}

EXPORT Function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
    GetProcAddr get = (GetProcAddr)wrapped_symbol("vk_icdGetInstanceProcAddr");
    return replaced(name, get(instance, name));
}

EXPORT int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
    typedef int32_t (*Negotiate)(uint32_t *);
    return ((Negotiate)wrapped_symbol("vk_icdNegotiateLoaderICDInterfaceVersion"))(version);
}
