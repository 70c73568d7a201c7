//! The memory of the caller's arrays, taken for the time of a call.
//!
//! `numpy` keeps its own account of borrowed arrays, but by the array that owns the memory: two tiles of one image cannot be told apart.
//! Here the bytes themselves are compared, with those of every other call that is under way.

use std::process;
use std::sync::{Mutex, PoisonError};

use numpy::ndarray::{ArrayView4, ArrayViewMut4};
use numpy::{Element, PyArray4, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use unblot_core::Region;

/// What calls of this process are working on. The lock is held for a look at it, never while Python runs.
static IN_USE: Mutex<Account> = Mutex::new(Account { process: 0, next: 0, taken: Vec::new() });

struct Account {
    process: u32,
    /// Number of the next entry.
    next: u64,
    taken: Vec<(u64, Access, Region)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// An entry of the account, until it is dropped.
struct Claim(u64);

impl Claim {
    /// Enter a region, unless another call that is under way writes any of it, or reads what this one would write.
    fn new(region: Region, access: Access) -> PyResult<Self> {
        let mut account = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        if account.process != process::id() {
            // After a fork the child has the entries of threads that it has not.
            account.taken.clear();
            account.process = process::id();
        }
        let writes = |other: Access| other == Access::Write || access == Access::Write;
        if account.taken.iter().any(|(_, other, taken)| writes(*other) && region.meets(taken)) {
            return Err(PyValueError::new_err(match access {
                Access::Read => {
                    "the images are being written by another call, in another thread; wait for it, or pass a copy"
                }
                Access::Write => {
                    "out shares memory with what another call, in another thread, is working on; wait for it, or pass separate memory"
                }
            }));
        }
        let number = account.next;
        account.next += 1;
        account.taken.push((number, access, region));
        Ok(Self(number))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut account = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        account.taken.retain(|(number, ..)| *number != self.0);
    }
}

fn region<T: Element>(array: &Bound<'_, PyArray4<T>>) -> Region {
    Region::new(array.data().addr(), array.shape().iter().copied().zip(array.strides().iter().copied()), size_of::<T>())
}

/// An array that may be read.
pub struct Reading<'py, T>(Bound<'py, PyArray4<T>>, #[expect(dead_code, reason = "dropped at the end")] Claim);

impl<'py, T: Element> Reading<'py, T> {
    pub fn new(array: &Bound<'py, PyAny>) -> PyResult<Self> {
        let array = array.cast::<PyArray4<T>>()?;
        Ok(Self(array.clone(), Claim::new(region(array), Access::Read)?))
    }

    pub fn view(&self) -> ArrayView4<'_, T> {
        // SAFETY: the array is kept alive, and its claim keeps this library from writing it. Python code that writes it meanwhile from
        // another thread spoils pixels, as with NumPy's own functions, but moves no memory.
        #[allow(unsafe_code)]
        unsafe {
            self.0.as_array()
        }
    }
}

/// An array that may be written.
pub struct Writing<'py, T>(Bound<'py, PyArray4<T>>, #[expect(dead_code, reason = "dropped at the end")] Claim);

impl<'py, T: Element> Writing<'py, T> {
    pub fn new(array: &Bound<'py, PyAny>) -> PyResult<Self> {
        let array = array.cast::<PyArray4<T>>()?;
        let region = region(array);
        if !region.is_apart() {
            // Threads would write such a place at once.
            let text =
                "out may hold one place of memory more than once, as an expanded view does; pass a contiguous copy";
            return Err(PyValueError::new_err(text));
        }
        if !array.getattr("flags")?.getattr("writeable")?.extract::<bool>()? {
            return Err(PyValueError::new_err("out is read-only; pass a copy"));
        }
        Ok(Self(array.clone(), Claim::new(region, Access::Write)?))
    }

    pub fn view(&mut self) -> ArrayViewMut4<'_, T> {
        // SAFETY: as above; besides, the array is writable, none of its elements share memory, and no other call reads or writes it.
        #[allow(unsafe_code)]
        unsafe {
            self.0.as_array_mut()
        }
    }
}
