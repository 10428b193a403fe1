//! A counting global allocator over mimalloc: `flex` reports no memory of its own.
//!
//! Both binaries install it; see `examples` in the README for a library user's line. mimalloc keeps large
//! buffers instead of returning them to the kernel at every op, which the system allocator does.

#![expect(unsafe_code, reason = "a global allocator is an unsafe trait; every call is handed on unchanged")]

mod machine;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use burn::tensor::Device;
use mimalloc::MiMalloc;

pub use machine::machine_bytes;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What this thread took less what it gave back. It needs no destructor, so the allocator may use it.
    static BALANCE: Cell<i64> = const { Cell::new(0) };
}

/// The allocator; put `#[global_allocator] static ALLOCATOR: Counting = Counting;` into a binary.
#[derive(Debug)]
pub struct Counting;

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
    balance(bytes.cast_signed() as i64);
}

fn shrink(bytes: usize) {
    LIVE.fetch_sub(bytes, Relaxed);
    balance(-(bytes.cast_signed() as i64));
}

fn balance(bytes: i64) {
    // A thread that is ending may have none any more.
    let _ended = BALANCE.try_with(|balance| balance.set(balance.get().wrapping_add(bytes)));
}

// SAFETY: every method hands its arguments to mimalloc unchanged and returns what it returns; the counters
// are atomics and cannot affect memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps GlobalAlloc's contract.
        let pointer = unsafe { MiMalloc.alloc(layout) };
        if !pointer.is_null() {
            grow(layout.size());
        }
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps GlobalAlloc's contract.
        let pointer = unsafe { MiMalloc.alloc_zeroed(layout) };
        if !pointer.is_null() {
            grow(layout.size());
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: the caller keeps GlobalAlloc's contract.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps GlobalAlloc's contract.
        let moved = unsafe { MiMalloc.realloc(pointer, layout, size) };
        if !moved.is_null() {
            grow(size);
            shrink(layout.size());
        }
        moved
    }
}

/// Live and peak bytes of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In use now.
    pub live_bytes: u64,
    /// Largest value since [`reset_peak`].
    pub peak_bytes: u64,
}

/// Heap bytes of this process, zero when the counting allocator is not installed.
#[must_use]
pub fn heap() -> Usage {
    Usage { live_bytes: LIVE.load(Relaxed) as u64, peak_bytes: PEAK.load(Relaxed) as u64 }
}

/// Bytes that the calling thread took from the allocator less those that it gave back: what other threads do
/// meanwhile is not in a difference of two.
#[must_use]
pub fn thread_bytes() -> i64 {
    BALANCE.with(Cell::get)
}

/// Makes the present the peak.
pub fn reset_peak() {
    PEAK.store(LIVE.load(Relaxed), Relaxed);
}

/// Bytes in use on a device: of its own pool where it has one, else of this process's heap.
#[must_use]
pub fn live_bytes(device: &Device) -> u64 {
    device.memory_pool_usage().map_or_else(|| heap().live_bytes, |usage| usage.bytes_in_use)
}

/// Keeps the largest live value of one run, whatever the device.
#[derive(Debug, Default)]
pub struct Meter {
    peak_bytes: u64,
    stage_peak_bytes: u64,
}

impl Meter {
    /// Begins now.
    #[must_use]
    pub fn start() -> Self {
        reset_peak();
        Self::default()
    }

    /// A stage begins: its own peak is that from now on.
    pub fn begin_stage(&mut self, device: &Device) {
        self.look(device);
        reset_peak();
        self.stage_peak_bytes = 0;
    }

    /// The largest live value that was seen since the last stage began.
    #[must_use]
    pub const fn stage_peak_bytes(&self) -> u64 {
        self.stage_peak_bytes
    }

    /// Looks at the device. On a device with a pool, peaks between two looks are not seen.
    pub fn look(&mut self, device: &Device) -> Usage {
        let (live_bytes, peak) = match device.memory_pool_usage() {
            Some(usage) => (usage.bytes_in_use, usage.bytes_in_use),
            None => (heap().live_bytes, heap().peak_bytes),
        };
        self.stage_peak_bytes = self.stage_peak_bytes.max(peak);
        self.peak_bytes = self.peak_bytes.max(peak);
        Usage { live_bytes, peak_bytes: self.peak_bytes }
    }
}
