// Runs compute shaders on the CPU: parses the command line, reads the buffers, and runs the workgroups.
//
// The generated source includes this file, and then defines one namespace per shader and the table `shaders`.
//
//     program SHADER flush|keep GROUPS INVOCATIONS
//
// runs the shader with the index SHADER. Standard input has the lengths in bytes of the buffers at bindings 0 to 3, 32
// bits each, and then their contents. The program writes the final contents of the buffer at binding 3 to standard
// output.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "vectors.h"

struct Buffer {
    unsigned char* bytes;
    uint32_t size;
};

struct Dispatch {
    Buffer buffers[5]; // the last has the sizes of the others, for naga's bounds checks in MSL
    uint groups;
    uint invocations; // in a workgroup

    template <class T> T& at(int binding) const { return *reinterpret_cast<T*>(buffers[binding].bytes); }
};

typedef shading::vec<uint, 3> WorkgroupId;
// Binds the buffers to the shader's globals, if it has any.
typedef void (*Bind)(const Dispatch&);
typedef void (*Invoke)(const Dispatch&, WorkgroupId, uint invocation);
typedef void (*Run)(const Dispatch&);

// The shaders, and their number.
extern const Run shaders[];
extern const int shader_count;

// ---- Without barriers: one invocation after another, in loops that the compiler may vectorize ----

template <Bind bind, Invoke invoke> void run(const Dispatch& dispatch) {
    bind(dispatch);
    for (uint group = 0; group < dispatch.groups; group++)
        for (uint i = 0; i < dispatch.invocations; i++) invoke(dispatch, WorkgroupId(group, 0, 0), i);
}

// ---- With barriers: every invocation of a workgroup is a fiber, and a barrier switches to the next one ----

const uint MAX_INVOCATIONS = 256;
const size_t STACK = 1 << 16;

struct Workgroup {
    const Dispatch* dispatch;
    Invoke invoke;
    WorkgroupId id;
    uint current;
    bool is_done[MAX_INVOCATIONS];
    ucontext_t scheduler;
    ucontext_t fibers[MAX_INVOCATIONS];
};
Workgroup workgroup;
// The memory of MSL's `threadgroup` parameters.
alignas(16) unsigned char threadgroup_memory[1 << 16];

void workgroup_barrier() { swapcontext(&workgroup.fibers[workgroup.current], &workgroup.scheduler); }

void run_fiber() {
    workgroup.invoke(*workgroup.dispatch, workgroup.id, workgroup.current);
    workgroup.is_done[workgroup.current] = true;
}

template <Bind bind, Invoke invoke> void run_with_barriers(const Dispatch& dispatch) {
    static unsigned char stacks[MAX_INVOCATIONS][STACK];
    bind(dispatch);
    if (dispatch.invocations > MAX_INVOCATIONS) abort();
    for (uint group = 0; group < dispatch.groups; group++) {
        workgroup.dispatch = &dispatch;
        workgroup.invoke = invoke;
        workgroup.id = WorkgroupId(group, 0, 0);
        for (uint i = 0; i < dispatch.invocations; i++) {
            workgroup.is_done[i] = false;
            // Copies this thread's MXCSR, so that the fiber flushes or keeps subnormals, too.
            getcontext(&workgroup.fibers[i]);
            workgroup.fibers[i].uc_stack.ss_sp = stacks[i];
            workgroup.fibers[i].uc_stack.ss_size = STACK;
            workgroup.fibers[i].uc_link = &workgroup.scheduler;
            makecontext(&workgroup.fibers[i], run_fiber, 0);
        }
        // All invocations reach the same barriers, so all end in the same round.
        while (!workgroup.is_done[0]) {
            for (uint i = 0; i < dispatch.invocations; i++) {
                workgroup.current = i;
                swapcontext(&workgroup.scheduler, &workgroup.fibers[i]);
            }
        }
    }
}

// ---- The command line ----

// Sets whether subnormal results and arguments become zero: the bits FTZ and DAZ of MXCSR.
inline void set_flushing(bool flushes) {
    const uint FTZ_AND_DAZ = 0x8040;
    uint before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(flushes ? before | FTZ_AND_DAZ : before & ~FTZ_AND_DAZ);
}

inline void read(void* to, size_t size) {
    if (fread(to, 1, size, stdin) != size) abort();
}

int main(int count, char** arguments) {
    if (count != 5) abort();
    int shader = atoi(arguments[1]);
    if (shader >= shader_count) abort();
    Dispatch dispatch;
    dispatch.groups = uint(atoi(arguments[3]));
    dispatch.invocations = uint(atoi(arguments[4]));
    uint lengths[4];
    read(lengths, sizeof lengths);
    // All buffers get the size of the longest, so that the bounds checks need only one size.
    uint size = 0;
    for (uint length : lengths) size = length > size ? length : size;
    size = (size + 63) & ~63u;
    for (int i = 0; i < 4; i++) {
        dispatch.buffers[i] = {static_cast<unsigned char*>(aligned_alloc(64, size)), size};
        memset(dispatch.buffers[i].bytes, 0, size);
        read(dispatch.buffers[i].bytes, lengths[i]);
    }
    uint sizes[8];
    for (uint& entry : sizes) entry = size;
    dispatch.buffers[4] = {reinterpret_cast<unsigned char*>(sizes), sizeof sizes};
    set_flushing(strcmp(arguments[2], "flush") == 0);
    shaders[shader](dispatch);
    fwrite(dispatch.buffers[3].bytes, 1, lengths[3], stdout);
    return 0;
}
