//! The Python binding: arrays in, typed exceptions out, the GIL released in between. No formula lives here.
#![deny(unsafe_code)]

mod memory;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use half::{bf16, f16};
use numpy::{Element, IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadwriteArray3};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use memory::{Reading, Writing};
use unblot_core::{
    AreaSplit, Base, BoxDraw, Corruption, Error, Images, Index, Marks, Mode, Noise, Overlap, Pixel, Placement, Plan,
    PoissonMode, RatioPer, RatioSampling, Rendered, Shape, Spec,
};

/// Compiled core of unblot: boxes and noise.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::{PyPlan, available_threads, corrupt, mask, philox4x32, sampled_range};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}

/// The core's error in the words of this door: parameters as keywords, by their names here.
fn value_error(error: &Error) -> PyErr {
    PyValueError::new_err(match error {
        Error::Parameter { name, value, remedy } => {
            let name = if *name == "SaltPepper.salt" { "SaltPepper.salt_vs_pepper" } else { *name };
            let word = value != "inf" && value.chars().all(|c| c.is_ascii_alphabetic());
            let value = if word { format!("{value:?}") } else { value.clone() };
            format!("{name}={value} is not accepted: {remedy}")
        }
        _ => error.to_string(),
    })
}

/// How often Python is asked whether a signal, such as Ctrl-C, has come.
const PATIENCE: Duration = Duration::from_millis(50);

/// Do work without the GIL that asks now and then whether to stop: it does where Python's signal handlers raise.
fn unless_interrupted<R>(work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> Result<R, Error>) -> PyResult<R> {
    let state = Mutex::new((Instant::now(), None));
    let stop = || {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.elapsed() < PATIENCE {
            return false;
        }
        #[allow(clippy::redundant_closure_for_method_calls)] // the method alone is not general enough
        let signal = Python::attach(|py| py.check_signals());
        state.1 = signal.err();
        state.0 = Instant::now();
        state.1.is_some()
    };
    let result = work(&stop);
    match (result, state.into_inner().unwrap_or_else(PoisonError::into_inner).1) {
        (Err(Error::Stopped), Some(raised)) => Err(raised),
        (result, _) => result.map_err(|e| value_error(&e)),
    }
}

fn one_of<T: Copy>(name: &str, value: &str, accepted: &[(&str, T)]) -> PyResult<T> {
    accepted.iter().find(|(text, _)| *text == value).map(|(_, v)| *v).ok_or_else(|| {
        let names: Vec<_> = accepted.iter().map(|(text, _)| format!("{text:?}")).collect();
        PyValueError::new_err(format!("{name}={value:?} is not accepted: give {}", names.join(" or ")))
    })
}

/// `base` as Python gives it: a name or numbers.
#[derive(FromPyObject)]
enum BaseArgument {
    Name(String),
    Levels(Vec<f32>),
}

type NoiseArgument = (String, Vec<(f64, f64)>, Vec<bool>);

fn noise(argument: NoiseArgument) -> PyResult<Noise> {
    let (kind, ranges, flags) = argument;
    Ok(match (kind.as_str(), ranges.as_slice(), flags.as_slice()) {
        ("gaussian", &[sigma, mean], []) => Noise::Gaussian { sigma, mean },
        ("laplace", &[scale, mean], []) => Noise::Laplace { scale, mean },
        ("salt_pepper", &[amount, salt], &[per_channel]) => Noise::SaltPepper { amount, salt, per_channel },
        ("poisson", &[peak, strength], &[additive]) => {
            let mode = if additive { PoissonMode::Additive } else { PoissonMode::Shot };
            Noise::Poisson { peak, strength, mode }
        }
        ("paste", &[gain, offset, opacity], &[flip, from_batch]) => {
            Noise::Paste { gain, offset, opacity, flip, from_batch }
        }
        _ => {
            let text = format!(
                "noise={kind:?} with {} ranges and {} flags is not a kind: give gaussian (2, 0), laplace (2, 0), \
                 salt_pepper (2, 1), poisson (2, 1) or paste (3, 2)",
                ranges.len(),
                flags.len()
            );
            return Err(PyValueError::new_err(text));
        }
    })
}

fn shape(name: &str) -> PyResult<Shape> {
    one_of("shapes", name, &[("rectangle", Shape::Rectangle), ("scar", Shape::Scar), ("blob", Shape::Blob)])
}

#[pyclass(name = "Plan", module = "unblot._core", frozen)]
struct PyPlan(Plan);

#[pymethods]
impl PyPlan {
    #[new]
    #[pyo3(signature = (*, scale, num_boxes, area_split, ratio, ratio_sampling, ratio_per, placement, overlap, base, noise, weights, mode, shapes, shape_weights, edge, p, full))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        scale: (f64, f64),
        num_boxes: (usize, usize),
        area_split: &str,
        ratio: (f64, f64),
        ratio_sampling: &str,
        ratio_per: &str,
        placement: &str,
        overlap: &str,
        base: BaseArgument,
        noise: Vec<NoiseArgument>,
        weights: Vec<f64>,
        mode: &str,
        shapes: Vec<String>,
        shape_weights: Vec<f64>,
        edge: f64,
        p: f64,
        full: bool,
    ) -> PyResult<Self> {
        let base = match base {
            BaseArgument::Levels(levels) => Base::Levels(levels),
            BaseArgument::Name(name) => match name.as_str() {
                "black" => Base::Black,
                "white" => Base::White,
                "gray" => Base::Gray,
                "random" => Base::Random,
                "image" => Base::Image,
                "any" => Base::Any,
                _ => {
                    let accepted =
                        "give \"black\", \"white\", \"gray\", \"random\", \"image\", \"any\" or numbers in [0, 1]";
                    return Err(PyValueError::new_err(format!("base={name:?} is not accepted: {accepted}")));
                }
            },
        };
        let spec = Spec {
            scale,
            num_boxes,
            area_split: one_of(
                "area_split",
                area_split,
                &[("dirichlet", AreaSplit::Dirichlet), ("equal", AreaSplit::Equal)],
            )?,
            ratio,
            ratio_sampling: one_of(
                "ratio_sampling",
                ratio_sampling,
                &[("log", RatioSampling::Log), ("uniform", RatioSampling::Uniform)],
            )?,
            ratio_per: one_of("ratio_per", ratio_per, &[("box", RatioPer::Box), ("image", RatioPer::Image)])?,
            placement: one_of("placement", placement, &[("inside", Placement::Inside), ("clip", Placement::Clip)])?,
            overlap: one_of("overlap", overlap, &[("forbid", Overlap::Forbid), ("allow", Overlap::Allow)])?,
            base,
            noise: noise.into_iter().map(self::noise).collect::<PyResult<_>>()?,
            weights,
            mode: one_of(
                "mode",
                mode,
                &[("choose", Mode::Choose), ("superimpose", Mode::Superimpose), ("none", Mode::None)],
            )?,
            shapes: shapes.into_iter().map(|name| shape(&name)).collect::<PyResult<_>>()?,
            shape_weights,
            edge,
            p,
            full,
        };
        Plan::new(spec).map(Self).map_err(|e| value_error(&e))
    }

    fn draw<'py>(
        &self,
        py: Python<'py>,
        height: usize,
        width: usize,
        channels: usize,
        seed: u64,
        keys: &Bound<'py, PyArray1<u64>>,
    ) -> PyResult<Records<'py>> {
        let keys = keys.to_vec()?;
        let boxes = py.detach(|| {
            let corruption = Corruption::new(&self.0, Index { seed, keys: &keys });
            unless_interrupted(|stop| corruption.stop(stop).draw((height, width), channels))
        })?;
        records(py, &self.0, &boxes, channels)
    }

    fn covers<'py>(
        &self,
        py: Python<'py>,
        height: usize,
        width: usize,
        channels: usize,
        seed: u64,
        keys: &Bound<'py, PyArray1<u64>>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let keys = keys.to_vec()?;
        let covers = py.detach(|| {
            let corruption = Corruption::new(&self.0, Index { seed, keys: &keys });
            unless_interrupted(|stop| corruption.stop(stop).covers((height, width), channels))
        })?;
        Ok(covers.into_pyarray(py))
    }

    fn poisson_tables<'py>(&self, py: Python<'py>) -> PyResult<Tables<'py>> {
        let arrays = py.detach(|| self.0.poisson_tables());
        let rows = arrays.columns.len();
        Ok((
            arrays.steps.into_pyarray(py),
            arrays.entries.into_pyarray(py),
            arrays.rates.into_pyarray(py),
            arrays.starts.into_pyarray(py),
            arrays.columns.into_flattened().into_pyarray(py).reshape([rows, 3])?,
        ))
    }
}

/// The fields of `TableArrays` in their order.
type Tables<'py> = (
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray2<u32>>,
);

type Records<'py> = (Bound<'py, PyArray2<i32>>, Bound<'py, PyArray2<f32>>);

/// Boxes as two tables, whose columns `_core.pyi` names.
fn records<'py>(py: Python<'py>, plan: &Plan, boxes: &[BoxDraw], channels: usize) -> PyResult<Records<'py>> {
    let mut real = Vec::with_capacity(boxes.len() * (11 + channels));
    for b in boxes {
        for (first, second) in [b.gaussian, b.laplace, b.salt_pepper, b.poisson] {
            real.extend([first, second]);
        }
        real.extend((0..channels).map(|c| b.base(plan, c)));
        real.extend([b.patch.gain, b.patch.offset, b.patch.opacity]);
    }
    let real = real.into_pyarray(py).reshape([boxes.len(), 11 + channels])?;
    Ok((whole_numbers(py, boxes)?, real))
}

/// The first of the two.
fn whole_numbers<'py>(py: Python<'py>, boxes: &[BoxDraw]) -> PyResult<Bound<'py, PyArray2<i32>>> {
    let mut whole = Vec::with_capacity(boxes.len() * 13);
    for b in boxes {
        let flags = i32::from(b.additive) + 2 * i32::from(b.per_channel) + 4 * b.poisson_entry() as i32;
        let turn = i32::from(b.patch.flip_y) + 2 * i32::from(b.patch.flip_x);
        let [y, x, height, width, number] = [b.y, b.x, b.height, b.width, b.number].map(u32::cast_signed);
        let [from, top, left] = [b.patch.image, b.patch.y, b.patch.x].map(u32::cast_signed);
        let (image, kinds, shape) = (b.image.cast_signed(), i32::from(b.kinds.0), b.shape as i32);
        // At once: room is looked for once a box.
        whole.extend([image, y, x, height, width, kinds, flags, number, shape, from, top, left, turn]);
    }
    whole.into_pyarray(py).reshape([boxes.len(), 13])
}

#[pyfunction]
#[pyo3(signature = (plan, dst, src, dtype, value_range, seed, keys, threads, changed=None))]
#[allow(clippy::too_many_arguments)]
fn corrupt<'py>(
    plan: &Bound<'py, PyPlan>,
    dst: &Bound<'py, PyAny>,
    src: Option<&Bound<'py, PyAny>>,
    dtype: &str,
    value_range: Option<(f32, f32)>,
    seed: u64,
    keys: &Bound<'py, PyArray1<u64>>,
    threads: usize,
    changed: Option<(f32, Bound<'py, PyArray3<u8>>)>,
) -> PyResult<Bound<'py, PyArray2<i32>>> {
    let keys = keys.to_vec()?;
    let call = Call { plan: &plan.get().0, value_range, index: Index { seed, keys: &keys }, threads };
    let changed = changed.map(|(threshold, mask)| Ok::<_, PyErr>((threshold, mask.try_readwrite()?))).transpose()?;
    match dtype {
        "uint8" => call.run::<u8>(dst, src, changed, (0.0, 255.0)),
        "float32" => call.run::<f32>(dst, src, changed, (0.0, 1.0)),
        "float16" => call.run::<f16>(dst, src, changed, (0.0, 1.0)),
        "bfloat16" => call.run::<bf16>(dst, src, changed, (0.0, 1.0)),
        _ => Err(PyValueError::new_err(format!(
            "dtype={dtype:?} is not accepted: give uint8, float16, bfloat16 or float32"
        ))),
    }
}

/// Lowest and highest of some float pixels of each image.
#[pyfunction]
fn sampled_range(images: &Bound<'_, PyAny>, dtype: &str) -> PyResult<(f32, f32)> {
    fn look<T: Pixel<Raw: Element>>(images: &Bound<'_, PyAny>) -> PyResult<(f32, f32)> {
        Ok(unblot_core::sampled_range::<T>(&Reading::<T::Raw>::new(images)?.view()))
    }
    match dtype {
        "float32" => look::<f32>(images),
        "float16" => look::<f16>(images),
        "bfloat16" => look::<bf16>(images),
        _ => Err(PyValueError::new_err(format!("dtype={dtype:?} is not accepted: give float16, bfloat16 or float32"))),
    }
}

/// What a call of `corrupt` has besides its arrays.
struct Call<'a> {
    plan: &'a Plan,
    value_range: Option<(f32, f32)>,
    index: Index<'a>,
    threads: usize,
}

impl Call<'_> {
    /// Borrow the arrays as what the pixel format is stored as, and corrupt without the GIL.
    fn run<'py, T>(
        &self,
        dst: &Bound<'py, PyAny>,
        src: Option<&Bound<'py, PyAny>>,
        changed: Option<(f32, PyReadwriteArray3<'py, u8>)>,
        default: (f32, f32),
    ) -> PyResult<Bound<'py, PyArray2<i32>>>
    where
        T: Rendered<Raw: Element>,
    {
        let py = dst.py();
        let mut dst = Writing::<T::Raw>::new(dst)?;
        let src = src.map(Reading::<T::Raw>::new).transpose()?;
        let from = src.as_ref().map(Reading::view);
        let mut changed = changed;
        let marks =
            changed.as_mut().map(|(threshold, mask)| Marks { threshold: *threshold, mask: mask.as_array_mut() });
        let corruption =
            Corruption::new(self.plan, self.index).range(self.value_range.unwrap_or(default)).threads(self.threads);
        let to = dst.view();
        let boxes = py.detach(|| {
            let images = match &from {
                Some(from) => Images::copied(from, to),
                None => Images::in_place(to),
            };
            let images = match marks {
                Some(marks) => images.marked(marks),
                None => images,
            };
            unless_interrupted(|stop| corruption.stop(stop).run::<T>(images))
        })?;
        whole_numbers(py, &boxes)
    }
}

/// 1 in the pixels of boxes as `whole_numbers` gives them, else 0: those of an image where it is a single one, else (N, H, W).
#[pyfunction]
#[pyo3(signature = (records, images, height, width, covers=None))]
fn mask<'py>(
    py: Python<'py>,
    records: &Bound<'py, PyArray2<i32>>,
    images: usize,
    height: usize,
    width: usize,
    covers: Option<&Bound<'py, PyArray1<f32>>>,
) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let mask = PyArray3::zeros(py, [images, height, width], false);
    let records = records.try_readonly()?;
    if records.as_array().is_empty() {
        return Ok(mask);
    }
    let covers = covers.map(PyArrayMethods::try_readonly).transpose()?;
    let covers = covers.as_ref().map(|covers| covers.as_slice()).transpose()?;
    let rows = records.as_array();
    // A negative number is far outside.
    let places = rows.rows().into_iter().map(|row| [0, 1, 2, 3, 4].map(|i| row[i].cast_unsigned() as usize));
    unblot_core::mark_places(&mut mask.try_readwrite()?.as_array_mut(), places, covers).map_err(|e| value_error(&e))?;
    Ok(mask)
}

/// One block of Philox4x32: four counter words and two key words to four random words.
#[pyfunction]
#[pyo3(signature = (counter, key, rounds = 7))]
fn philox4x32(counter: [u32; 4], key: [u32; 2], rounds: u32) -> (u32, u32, u32, u32) {
    unblot_core::rng::block(counter, key, rounds).into()
}

/// Cores that this process may use.
#[pyfunction]
fn available_threads() -> usize {
    unblot_core::available_threads()
}
