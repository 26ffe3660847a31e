//! Huge pages for the memory of a worker: one arena for the interpreter's objects, one for the C library's heap.
//!
//! A fork copies a page table entry for every page, and the end of a process removes each; a huge page has one entry for 512
//! small ones. Measured with all packages loaded: fork(2) 4.1 → 2.0 ms, the whole time of a child 10 → 5 ms. Where the
//! system has no huge pages, nothing changes.
//!
//! Both arenas are for what the packages allocate when they are imported. The rest is released before the first fork, so
//! that what a child allocates counts against its limit.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi;

/// Bytes of each arena: more than the packages need.
const ARENA_SIZE: usize = 256 << 20;
/// The C library maps allocations of this size separately and unmaps them when they are freed, as it does by itself in a
/// process that has run for a while. See mallopt(3).
const MMAP_THRESHOLD: libc::c_int = 32 << 20;
/// Bytes of a huge page.
const HUGE_PAGE: usize = 2 << 20;

/// The beginning of the free part of the interpreter's arena, and its end.
static FREE: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// Reserves the arenas. Call it before the interpreter starts. Where the memory cannot be mapped, nothing changes.
#[allow(unsafe_code, reason = "memory from the system")]
pub(crate) fn reserve_arenas() {
    // SAFETY: fresh memory at an address that the system chooses; the allocator's functions are never freed; no
    // other thread allocates yet.
    unsafe {
        // An arena for each thread would use up a program's address space.
        #[cfg(target_env = "gnu")]
        {
            libc::mallopt(libc::M_ARENA_MAX, 2);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
            libc::mallopt(libc::M_MMAP_THRESHOLD, libc::c_int::MAX);
            let heap = libc::malloc(ARENA_SIZE);
            if !heap.is_null() {
                let aligned = (heap as usize).next_multiple_of(HUGE_PAGE);
                libc::madvise(aligned as *mut c_void, ARENA_SIZE - HUGE_PAGE, libc::MADV_HUGEPAGE);
                libc::free(heap);
            }
            libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        }
        let start = map(ARENA_SIZE + HUGE_PAGE);
        if start.is_null() {
            return;
        }
        let aligned = (start as usize).next_multiple_of(HUGE_PAGE);
        libc::madvise(aligned as *mut c_void, ARENA_SIZE, libc::MADV_HUGEPAGE);
        FREE.store(aligned, Ordering::Relaxed);
        END.store(aligned + ARENA_SIZE, Ordering::Relaxed);
        ffi::PyObject_SetArenaAllocator(&mut ffi::PyObjectArenaAllocator {
            ctx: std::ptr::null_mut(),
            alloc: Some(alloc),
            free: Some(free),
        });
    }
}

/// Releases the rest of the arenas. Later allocations use ordinary memory.
#[allow(unsafe_code, reason = "memory to the system")]
pub(crate) fn release_rest() {
    let free = FREE.swap(0, Ordering::Relaxed);
    let end = END.swap(0, Ordering::Relaxed);
    let left = free.next_multiple_of(HUGE_PAGE);
    if left < end {
        // SAFETY: nothing has been allocated in it.
        unsafe { libc::munmap(left as *mut c_void, end - left) };
    }
    #[cfg(target_env = "gnu")]
    // SAFETY: the calls take numbers and release free memory only.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * MMAP_THRESHOLD);
        libc::malloc_trim(0);
    }
}

#[allow(unsafe_code, reason = "called by the interpreter")]
extern "C" fn alloc(_: *mut c_void, size: usize) -> *mut c_void {
    let free = FREE.load(Ordering::Relaxed);
    if free != 0 && size <= END.load(Ordering::Relaxed) - free {
        // The interpreter's lock is held: no other thread is here.
        FREE.store(free + size, Ordering::Relaxed);
        return free as *mut c_void;
    }
    // SAFETY: fresh memory.
    unsafe { map(size) }
}

#[allow(unsafe_code, reason = "called by the interpreter")]
extern "C" fn free(_: *mut c_void, arena: *mut c_void, size: usize) {
    // SAFETY: the interpreter frees an arena once, that it got from `alloc`.
    unsafe { libc::munmap(arena, size) };
}

/// Maps fresh memory; null where that fails.
///
/// # Safety
/// Nothing is required of the caller.
#[allow(unsafe_code, reason = "memory from the system")]
unsafe fn map(size: usize) -> *mut c_void {
    let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: the system chooses a free address.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), size, rights, kind, -1, 0) };
    if memory == libc::MAP_FAILED { std::ptr::null_mut() } else { memory }
}
