//! Readers of plates.

use crate::aligned::AlignedBytes;
use crate::picture::{Fit, FitScratch, fit};
use crate::text::{TextRead, ctc_greedy, normalise, slots};
use crate::{Device, ElementType, Model, ModelError, ModelInfo, Options, Picture};
use half::f16;
use std::path::Path;

/// How a reader puts out its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Ctc,
    Slots,
}

/// Where steps and classes stand in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// `[N, steps, classes]`, or `[N, steps * classes]`.
    StepsClasses,
    /// `[N, classes, steps]`.
    ClassesSteps,
    /// `[steps, N, classes]`, as PyTorch's CTC loss takes it.
    StepsFirst,
}

/// A plate reader that is ready to run.
#[derive(Debug)]
pub struct Reader {
    model: Model,
    head: Head,
    order: Order,
    output: usize,
    /// Shapes of all outputs in the run that described it, of so many pictures.
    shapes: Vec<Vec<usize>>,
    described: usize,
    steps: usize,
    symbols: Vec<Option<char>>,
    fit: Fit,
    mean: f32,
    deviation: f32,
    pictures: Vec<u8>,
    input: AlignedBytes,
    scratch: FitScratch,
    rows: Vec<f32>,
    /// Pictures of a run on TensorRT.
    gpu_batch: usize,
    /// The output of a run.
    found: Vec<f32>,
}

impl Reader {
    /// Loads a reader, runs it once on a black picture and tells its layout from what comes out.
    ///
    /// Keys that it looks for in the model's metadata and in its sidecar: `alphabet` (needed), `head` (`ctc` or `slots`; else slots
    /// if `max_plate_slots` or `pad` is named, or the alphabet holds a padding character), `blank` (class index, 0 if not named, -1 for the last), `pad` or `pad_char`
    /// (`_` if not named), `color` or `image_color_mode` (`bgr` swaps the channels), `keep_aspect_ratio`, and for models that take floats
    /// `mean` and `std` of the levels scaled to `0..=1` (0 and 1 if not named).
    ///
    /// # Errors
    /// [`ModelError`] if it does not load, does not run, names no alphabet, or has no output that fits its alphabet.
    pub fn open(path: &Path, options: &Options) -> Result<Self, ModelError> {
        let mut model = Model::open_for_batches(path, options)?;
        let info = model.info().clone();
        let alphabet: Vec<char> = info.get("alphabet").map(|a| a.chars().collect()).unwrap_or_default();
        if alphabet.is_empty() {
            return Err(info.bad_metadata("alphabet", "the characters of the classes, in order"));
        }
        let pad_named = info.get("pad").or_else(|| info.get("pad_char"));
        let pad = pad_named.and_then(|p| p.chars().next()).unwrap_or('_');
        let head = match info.get("head") {
            Some("ctc") => Head::Ctc,
            Some("slots") => Head::Slots,
            Some(_) => return Err(info.bad_metadata("head", "`ctc` or `slots`")),
            None if info.get("max_plate_slots").is_some() || pad_named.is_some() || alphabet.contains(&pad) => Head::Slots,
            None => Head::Ctc,
        };
        let has_pad = head == Head::Slots && alphabet.contains(&pad);
        let classes = alphabet.len() + usize::from(!has_pad);
        let symbols = if has_pad {
            alphabet.iter().map(|c| (*c != pad).then_some(*c)).collect()
        } else {
            let default = if head == Head::Ctc { 0 } else { -1 };
            let blank = info.get("blank").map_or(Ok(default), |b| b.trim().parse::<i64>());
            let blank = blank
                .ok()
                .map(|b| if b < 0 { b + classes as i64 } else { b })
                .and_then(|b| usize::try_from(b).ok())
                .filter(|b| *b < classes);
            let blank = blank.ok_or_else(|| info.bad_metadata("blank", &format!("a class index below {classes}, or -1 for the last")))?;
            let mut symbols: Vec<Option<char>> = alphabet.iter().copied().map(Some).collect();
            symbols.insert(blank, None);
            symbols
        };
        let real = |key: &'static str, default: f32| match info.get(key).map(|v| v.trim().parse::<f32>()) {
            None => Ok(default),
            Some(Ok(value)) if value.is_finite() && (key != "std" || value > 0.0) => Ok(value),
            Some(_) => Err(info.bad_metadata(key, "a number")),
        };
        let (mean, deviation) = (real("mean", 0.0)?, real("std", 1.0)?);
        let color = info.get("color").or_else(|| info.get("image_color_mode")).unwrap_or_default();
        let keep_aspect = info.get("keep_aspect_ratio").is_some_and(|k| k.trim().eq_ignore_ascii_case("true"));
        let gpu_batch = options.gpu_batch.max(1);
        let n = info.image.batch.unwrap_or(if info.device == Device::Tensorrt { gpu_batch } else { 1 });
        let black = AlignedBytes::zeros(n * info.image.len() * info.element.size());
        let shapes: Vec<Vec<usize>> = model.run(black.bytes(), n, |outputs| outputs.iter().map(|o| o.shape.clone()).collect())?;
        let slots_named = info.get("max_plate_slots").and_then(|s| s.trim().parse::<usize>().ok());
        let fits =
            shapes.iter().enumerate().find_map(|(i, shape)| layout(shape, n, classes, slots_named).map(|(order, steps)| (i, order, steps)));
        let Some((output, order, steps)) = fits else {
            let what = if head == Head::Ctc { "a blank" } else { "a padding" };
            let wanted = format!("f32 [{n}, steps, {classes}] for an alphabet of {} with {what}", alphabet.len());
            return Err(info.bad_output(format!("{shapes:?}"), wanted));
        };
        Ok(Self {
            model,
            head,
            order,
            output,
            shapes,
            described: n,
            steps,
            symbols,
            fit: Fit { keep_aspect, bgr: color.eq_ignore_ascii_case("bgr"), fill: 114 },
            mean,
            deviation,
            pictures: Vec::new(),
            input: AlignedBytes::default(),
            scratch: FitScratch::default(),
            rows: Vec::new(),
            gpu_batch,
            found: Vec::new(),
        })
    }

    /// What the model says about itself.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        self.model.info()
    }

    /// How pictures are brought into the input.
    pub(crate) fn fit(&self) -> Fit {
        self.fit
    }

    /// Which output has the characters, and the shapes of all in runs of `pictures` pictures.
    pub(crate) fn outputs(&self, pictures: usize) -> (usize, Vec<Vec<usize>>) {
        let axis = if self.order == Order::StepsFirst { 1 } else { 0 };
        let of_run = |(i, shape): (usize, &Vec<usize>)| {
            let mut shape = shape.clone();
            // Other outputs are told by their first axis alone.
            if let Some(n) = shape.get_mut(if i == self.output { axis } else { 0 }).filter(|n| **n == self.described) {
                *n = pictures;
            }
            shape
        };
        (self.output, self.shapes.iter().enumerate().map(of_run).collect())
    }

    /// The number that a grey level is in the input: its bits, and how many bytes it has.
    pub(crate) fn number(&self, level: u8) -> (u32, usize) {
        let value = (f32::from(level) / 255.0 - self.mean) / self.deviation;
        match self.info().element {
            ElementType::U8 => (level.into(), 1),
            ElementType::F16 => (f16::from_f32(value).to_bits().into(), 2),
            ElementType::F32 => (value.to_bits(), 4),
        }
    }

    /// The texts of the first `count` pictures in the output of a run of `batch`.
    pub(crate) fn texts(&mut self, output: &[f32], batch: usize, count: usize, top_k: usize, reads: &mut Vec<TextRead>) {
        for index in 0..count {
            gather(output, self.order, (batch, self.steps, self.symbols.len()), index, &mut self.rows);
            self.rows.chunks_exact_mut(self.symbols.len()).for_each(normalise);
            reads.push(match self.head {
                Head::Ctc => ctc_greedy(&self.rows, &self.symbols, top_k),
                Head::Slots => slots(&self.rows, &self.symbols, top_k),
            });
        }
    }

    /// The input of a run of `batch` pictures: as many bytes as the model takes; places without a picture are black.
    pub fn input(&mut self, pictures: &[Picture<'_>], batch: usize) -> &[u8] {
        self.fill(pictures, batch);
        if self.info().element == ElementType::U8 { &self.pictures } else { self.input.bytes() }
    }

    /// The characters it can read, in the order of its classes.
    pub fn alphabet(&self) -> impl Iterator<Item = char> + '_ {
        self.symbols.iter().flatten().copied()
    }

    /// Reads all pictures. On the CPU each is a run of its own unless the model fixes a batch: six at once took 6.1 ms, one
    /// after the other 4.9 ms (best of 100, one thread), and no read can depend on the pictures beside it. On CUDA all are one run, on TensorRT
    /// each run has the size that its engine is made for.
    ///
    /// `top_k`: candidates per character.
    ///
    /// # Errors
    /// [`ModelError::Run`].
    pub fn read(&mut self, pictures: &[Picture<'_>], top_k: usize) -> Result<Vec<TextRead>, ModelError> {
        let mut reads = Vec::with_capacity(pictures.len());
        let open = match self.info().device {
            Device::Cpu => 1,
            Device::Tensorrt => self.gpu_batch,
            Device::Auto | Device::Cuda => pictures.len(),
        };
        let batch = self.info().image.batch.unwrap_or(open);
        for chunk in pictures.chunks(batch.max(1)) {
            self.fill(chunk, batch);
            let input = if self.model.info().element == ElementType::U8 { &self.pictures } else { self.input.bytes() };
            let mut found = std::mem::take(&mut self.found);
            let output = self.output;
            self.model.run(input, batch, |outputs| {
                found.clear();
                found.extend_from_slice(&outputs[output].data);
            })?;
            self.texts(&found, batch, chunk.len(), top_k, &mut reads);
            self.found = found;
        }
        Ok(reads)
    }

    /// Scales the pictures into the input; places of the batch without a picture are black.
    fn fill(&mut self, pictures: &[Picture<'_>], batch: usize) {
        let image = self.model.info().image;
        self.pictures.clear();
        self.pictures.resize(batch * image.len(), 0);
        for (picture, out) in pictures.iter().zip(self.pictures.chunks_exact_mut(image.len())) {
            fit(picture, &image, self.fit, &mut self.scratch, out);
        }
        let level = |v: u8| (f32::from(v) / 255.0 - self.mean) / self.deviation;
        let element = self.model.info().element;
        if element == ElementType::U8 {
            return;
        }
        self.input.resize(self.pictures.len() * element.size());
        for (cell, v) in self.input.bytes_mut().chunks_exact_mut(element.size()).zip(&self.pictures) {
            match element {
                ElementType::F16 => cell.copy_from_slice(&f16::from_f32(level(*v)).to_ne_bytes()),
                _ => cell.copy_from_slice(&level(*v).to_ne_bytes()),
            }
        }
    }
}

/// Where steps and classes stand, and how many steps, if the output of `n` pictures fits `classes`.
fn layout(shape: &[usize], n: usize, classes: usize, slots: Option<usize>) -> Option<(Order, usize)> {
    let found = match *shape {
        [a, steps, c] if a == n && c == classes => (Order::StepsClasses, steps),
        [steps, a, c] if a == n && c == classes => (Order::StepsFirst, steps),
        [a, c, steps] if a == n && c == classes => (Order::ClassesSteps, steps),
        [a, flat] if a == n && flat % classes == 0 && slots.is_none_or(|s| s * classes == flat) => (Order::StepsClasses, flat / classes),
        _ => return None,
    };
    (found.1 > 0).then_some(found)
}

/// Copies the rows of one picture, `[steps, classes]`.
fn gather(data: &[f32], order: Order, (batch, steps, classes): (usize, usize, usize), index: usize, rows: &mut Vec<f32>) {
    rows.clear();
    let one = steps * classes;
    match order {
        Order::StepsClasses => rows.extend_from_slice(&data[index * one..][..one]),
        Order::StepsFirst => {
            for step in 0..steps {
                rows.extend_from_slice(&data[(step * batch + index) * classes..][..classes]);
            }
        }
        Order::ClassesSteps => {
            let mine = &data[index * one..][..one];
            rows.extend((0..one).map(|i| mine[(i % classes) * steps + i / classes]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_classes_are_told_apart_by_the_alphabet() {
        assert_eq!(layout(&[1, 40, 37], 1, 37, None), Some((Order::StepsClasses, 40)));
        assert_eq!(layout(&[40, 1, 37], 1, 37, None), Some((Order::StepsFirst, 40)));
        assert_eq!(layout(&[1, 37, 40], 1, 37, None), Some((Order::ClassesSteps, 40)));
        assert_eq!(layout(&[1, 333], 1, 37, Some(9)), Some((Order::StepsClasses, 9)));
        assert_eq!(layout(&[1, 333], 1, 37, Some(10)), None);
        assert_eq!(layout(&[1, 40, 36], 1, 37, None), None);
    }

    #[test]
    fn all_orders_of_one_output_gather_to_the_same_rows() {
        let (batch, steps, classes) = (2, 3, 4);
        let value = |n: usize, s: usize, c: usize| (n * 100 + s * 10 + c) as f32;
        let cube = |dims: [usize; 3], at: &dyn Fn(usize, usize, usize) -> f32| {
            let mut data = Vec::new();
            for i in 0..dims[0] {
                for j in 0..dims[1] {
                    data.extend((0..dims[2]).map(|k| at(i, j, k)));
                }
            }
            data
        };
        let expected = cube([1, steps, classes], &|_, s, c| value(1, s, c));
        let layouts = [
            (Order::StepsClasses, cube([batch, steps, classes], &value)),
            (Order::StepsFirst, cube([steps, batch, classes], &|s, n, c| value(n, s, c))),
            (Order::ClassesSteps, cube([batch, classes, steps], &|n, c, s| value(n, s, c))),
        ];
        for (order, data) in layouts {
            let mut rows = Vec::new();
            gather(&data, order, (batch, steps, classes), 1, &mut rows);
            assert_eq!(rows, expected, "{order:?}");
        }
    }
}
