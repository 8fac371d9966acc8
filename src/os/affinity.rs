//! Which CPUs a thread may run on.

use std::marker::PhantomData;

/// A set of CPUs, as the kernel has it.
#[derive(Clone, Copy)]
struct CpuSet(libc::cpu_set_t);

impl CpuSet {
    fn empty() -> Self {
        // SAFETY: a cpu_set_t is an array of integers, for which zero is a value: the empty set.
        Self(unsafe { std::mem::zeroed() })
    }

    /// The CPUs that the calling thread may run on.
    fn of_this_thread() -> Option<Self> {
        let mut set = Self::empty();
        // SAFETY: thread 0 is the caller; the kernel writes at most the size that it is told.
        let status = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set.0) };
        (status == 0).then_some(set)
    }

    /// Lets the calling thread run on these CPUs only; false if the kernel refuses.
    fn apply(&self) -> bool {
        // SAFETY: thread 0 is the caller; the kernel reads the size that it is told.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &self.0) == 0 }
    }

    fn cpus(&self) -> impl Iterator<Item = usize> {
        (0..libc::CPU_SETSIZE as usize).filter(|cpu| {
            // SAFETY: `cpu` is below CPU_SETSIZE, the number of bits of a set.
            unsafe { libc::CPU_ISSET(*cpu, &self.0) }
        })
    }

    fn of_one(cpu: usize) -> Self {
        let mut set = Self::empty();
        // SAFETY: `cpu` came out of `cpus`, so it is below the number of bits of a set.
        unsafe { libc::CPU_SET(cpu, &mut set.0) };
        set
    }

    fn without(mut self, cpu: usize) -> Self {
        // SAFETY: as in `of_one`.
        unsafe { libc::CPU_CLR(cpu, &mut self.0) };
        self
    }
}

/// How many CPUs the calling thread may run on; 1 if the kernel does not say.
pub fn usable_cpus() -> usize {
    CpuSet::of_this_thread().map_or(1, |set| set.cpus().count().max(1))
}

/// A CPU that the thread that reserved it, and the threads it starts from then on, keep off.
///
/// The kernel likes to wake a thread where the one that woke it runs; a thread that spins towards a deadline
/// must not be asked to share. Dropping the reservation, on the thread that made it, lifts it.
pub struct ReservedCpu {
    cpu: usize,
    before: CpuSet,
    /// An affinity belongs to a thread, so the reservation stays on its own.
    _not_send: PhantomData<*const ()>,
}

impl ReservedCpu {
    /// Reserves the last CPU that the calling thread may run on; the first ones serve most interrupts. Nothing
    /// if there is only one, or if the kernel refuses.
    pub fn take() -> Option<Self> {
        let before = CpuSet::of_this_thread()?;
        let cpu = before.cpus().last()?;
        let others = before.without(cpu);
        (others.cpus().next().is_some() && others.apply()).then_some(Self {
            cpu,
            before,
            _not_send: PhantomData,
        })
    }

    /// The CPU's number, for [`run_on`].
    pub fn cpu(&self) -> usize {
        self.cpu
    }
}

impl Drop for ReservedCpu {
    fn drop(&mut self) {
        // The set was the thread's own; if its CPUs are gone by now, the kernel keeps what it has.
        self.before.apply();
    }
}

/// Moves the calling thread to `cpu` for good. False if the kernel refuses; the thread then runs where it did.
pub fn run_on(cpu: usize) -> bool {
    cpu < libc::CPU_SETSIZE as usize && CpuSet::of_one(cpu).apply()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus_of_this_thread() -> Vec<usize> {
        CpuSet::of_this_thread().map(|set| set.cpus().collect()).unwrap_or_default()
    }

    #[test]
    fn a_reserved_cpu_is_kept_free_and_given_back() {
        let before = cpus_of_this_thread();
        let Some(reserved) = ReservedCpu::take() else {
            assert!(before.len() < 2, "one of several CPUs can be reserved");
            return;
        };
        let cpu = reserved.cpu();
        assert!(!cpus_of_this_thread().contains(&cpu));
        let elsewhere =
            std::thread::spawn(move || (cpus_of_this_thread(), run_on(cpu), cpus_of_this_thread()));
        let (inherited, moved, after) = elsewhere.join().expect("a thread that does not panic");
        assert!(!inherited.contains(&cpu) && moved && after == [cpu]);
        drop(reserved);
        assert_eq!(cpus_of_this_thread(), before);
        assert!(!run_on(usize::MAX));
    }
}
