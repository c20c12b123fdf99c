//! The memory behind a tensor: a buffer of a GPU, ours or a host's, or words on the host.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::device::{Device, Pooled};

#[derive(Clone)]
pub(crate) enum Storage {
    Gpu(Arc<GpuBuffer>),
    Host(HostBuffer),
}

/// A GPU buffer; one of ours goes back to its device's idle buffers when the last tensor on it is dropped, unless a host
/// has had it.
pub(crate) struct GpuBuffer {
    device: Device,
    pub buffer: wgpu::Buffer,
    /// Ours, to be used again; not a host's.
    reusable: Option<Pooled>,
    /// A host has its handle, or an encoder of a host's uses it, and nothing tells when the host is done with it.
    given_out: AtomicBool,
    /// A copy for reading back that a run made of it in its own submission: a second one would take longer than the copy.
    /// There until something may have written the buffer again.
    copied: Mutex<Option<(Pooled, wgpu::SubmissionIndex)>>,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gpu(_) => "Gpu",
            Self::Host(_) => "Host",
        })
    }
}

impl GpuBuffer {
    pub fn new(device: &Device, pooled: Pooled) -> Self {
        let (device, buffer) = (device.clone(), pooled.buffer.clone());
        Self {
            device,
            buffer,
            reusable: Some(pooled),
            given_out: AtomicBool::new(false),
            copied: Mutex::default(),
        }
    }

    /// A host's.
    pub fn of_host(device: &Device, buffer: wgpu::Buffer) -> Self {
        Self {
            device: device.clone(),
            buffer,
            reusable: None,
            given_out: AtomicBool::new(true),
            copied: Mutex::default(),
        }
    }

    /// Makes it one that is not used again, since a host may use it after all tensors on it are gone. True at the first
    /// time.
    pub fn give_out(&self) -> bool {
        self.changes();
        !self.given_out.swap(true, Ordering::Relaxed)
    }

    /// Keeps the copy that a run makes of it.
    pub fn keep_copy(&self, staging: Pooled, submission: wgpu::SubmissionIndex) {
        self.give_back(Some((staging, submission)));
    }

    /// Something may write it from now on: the copy for reading back is no longer what it holds.
    pub fn changes(&self) {
        self.give_back(None);
    }

    fn give_back(&self, next: Option<(Pooled, wgpu::SubmissionIndex)>) {
        let mut copied = self.copied.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(gpu), Some((last, _))) = (self.device.gpu(), std::mem::replace(&mut *copied, next)) {
            gpu.release(last);
        }
    }

    /// The copy, once.
    pub fn take_copy(&self) -> Option<(Pooled, wgpu::SubmissionIndex)> {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes it one that is not used again.
    pub fn discard(&mut self) {
        self.reusable = None;
    }

    /// The number of one of ours.
    pub fn number(&self) -> Option<u64> {
        self.reusable.as_ref().map(|pooled| pooled.number)
    }
}

impl std::fmt::Debug for GpuBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GpuBuffer({} bytes)", self.buffer.size())
    }
}

impl Drop for GpuBuffer {
    fn drop(&mut self) {
        self.changes();
        if let (Some(gpu), Some(pooled)) = (self.device.gpu(), self.reusable.take()) {
            match *self.given_out.get_mut() {
                true => gpu.forget(&pooled),
                false => gpu.release(pooled),
            }
        }
    }
}

/// Words on the host, shared between the tensors and recordings that use them.
#[derive(Clone)]
pub(crate) struct HostBuffer(Arc<RwLock<Vec<u32>>>);

impl HostBuffer {
    pub fn new(words: Vec<u32>) -> Self {
        Self(Arc::new(RwLock::new(words)))
    }

    /// Where it is, which tells it from every other.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub fn read(&self) -> RwLockReadGuard<'_, Vec<u32>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Vec<u32>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage {
    /// Whether both are the same memory.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Gpu(a), Self::Gpu(b)) => a.buffer == b.buffer,
            (Self::Host(a), Self::Host(b)) => Arc::ptr_eq(&a.0, &b.0),
            _ => false,
        }
    }
}
