//! The memory of a worker, made of large pages from the start: the interpreter's objects in one piece, the C library's in
//! another.
//!
//! Forking copies an entry of the page table for every page, and the end of a process takes each away again; one entry of
//! a large page stands for five hundred of small ones. Measured with all packages loaded: fork(2) 4.1 → 2.0 ms, a child's
//! whole life 10 → 5 ms. Where the system has no large pages, all works as before.
//!
//! Both pieces are for what the packages make when they are imported. What is left of them is given back before the first
//! fork, so that what a child makes counts against its limit.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi;

/// Bytes that are set aside for each: more than the packages need.
const ARENA_SIZE: usize = 256 << 20;
/// The C library asks the system for pieces of this size one by one, and gives them back when they are free: what it does
/// by itself in a process that has lived for a while. See mallopt(3).
const MMAP_THRESHOLD: libc::c_int = 32 << 20;
/// Bytes of a large page.
const HUGE_PAGE: usize = 2 << 20;

/// From where on the piece is free, and where it ends.
static FREE: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// Call it before the interpreter starts. Where there is no such memory to be had, nothing changes.
#[allow(unsafe_code, reason = "memory from the system")]
pub(crate) fn reserve_arenas() {
    // SAFETY: fresh memory at a place of the system's choice; the allocator's functions live as long as the process; no
    // other thread allocates yet.
    unsafe {
        // Each thread with a piece of its own would eat a program's address space.
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

/// Gives back what is left. What the interpreter asks for from here on is memory like any other.
#[allow(unsafe_code, reason = "memory to the system")]
pub(crate) fn release_rest() {
    let free = FREE.swap(0, Ordering::Relaxed);
    let end = END.swap(0, Ordering::Relaxed);
    let left = free.next_multiple_of(HUGE_PAGE);
    if left < end {
        // SAFETY: nobody has been given any of it.
        unsafe { libc::munmap(left as *mut c_void, end - left) };
    }
    #[cfg(target_env = "gnu")]
    // SAFETY: it gives back what is free, and takes numbers.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * MMAP_THRESHOLD);
        libc::malloc_trim(0);
    }
}

#[allow(unsafe_code, reason = "called by the interpreter")]
extern "C" fn alloc(_: *mut c_void, size: usize) -> *mut c_void {
    let free = FREE.load(Ordering::Relaxed);
    if free != 0 && size <= END.load(Ordering::Relaxed) - free {
        // The interpreter's lock is held: nobody else is here.
        FREE.store(free + size, Ordering::Relaxed);
        return free as *mut c_void;
    }
    // SAFETY: fresh memory.
    unsafe { map(size) }
}

#[allow(unsafe_code, reason = "called by the interpreter")]
extern "C" fn free(_: *mut c_void, arena: *mut c_void, size: usize) {
    // SAFETY: the interpreter gives back what it got here, once.
    unsafe { libc::munmap(arena, size) };
}

/// Fresh memory, or null.
///
/// # Safety
/// None is needed; it is a call of the system.
#[allow(unsafe_code, reason = "memory from the system")]
unsafe fn map(size: usize) -> *mut c_void {
    let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: the system chooses a place where nothing is.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), size, rights, kind, -1, 0) };
    if memory == libc::MAP_FAILED { std::ptr::null_mut() } else { memory }
}
