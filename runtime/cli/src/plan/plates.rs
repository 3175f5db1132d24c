//! How large plates will be in the picture, and what that means for reading them.

use serde::Serialize;
use std::collections::BTreeMap;

/// Below this width of a plate of one row the reader does not know it (models/reader.md), px.
const READ_WELL_PX: f64 = 90.0;
/// From here on two of three single frames are read wrongly or not at all (models/reader.md), px.
const READ_AT_ALL_PX: f64 = 60.0;
/// What the detector was trained on and is measured with (models/detector.md): 40 px at 1920, which are 20 in its own input.
const DETECTED_PX: f64 = 20.0;
/// A row of characters as tall as that of a one-row plate of the widths above: its height is what carries the characters.
const WIDTH_TO_HEIGHT: f64 = 520.0 / 110.0;

/// What the graph or the command line says of a camera.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    values: BTreeMap<String, f64>,
    /// Width and height of the picture in px.
    pub size: Option<(u32, u32)>,
}

/// Names that a view may have.
const NAMES: [&str; 8] = ["width_m", "focal_mm", "sensor_mm", "distance_m", "height_m", "angle_deg", "plate_px", "fps"];

impl View {
    /// Reads `width_m=6 height_m=4`, parts separated by spaces or commas.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut view = Self::default();
        for part in text.split([' ', ',']).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is no `name=value`"))?;
            if name == "size" {
                let size = value.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
                view.size = Some(size.filter(|(w, h)| *w > 0 && *h > 0).ok_or_else(|| format!("`{part}`: write `size=1920x1080`"))?);
                continue;
            }
            if !NAMES.contains(&name) {
                return Err(format!("`{name}` is unknown; there are size, {}", NAMES.join(", ")));
            }
            let number = value.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0).ok_or_else(|| format!("`{part}`: no number"))?;
            if number == 0.0 && name != "angle_deg" && name != "height_m" {
                return Err(format!("`{part}`: must be above 0"));
            }
            view.values.insert(name.to_owned(), number);
        }
        let (has, lens) = (|name| view.values.contains_key(name), ["focal_mm", "sensor_mm", "distance_m"]);
        if (has("focal_mm") || has("sensor_mm")) && !lens.iter().all(|name| has(name)) {
            return Err("a lens takes `focal_mm`, `sensor_mm` (width of the sensor) and `distance_m` (camera to plate)".to_owned());
        }
        if has("height_m") && !has("distance_m") {
            return Err("`height_m` needs `distance_m`: the two give the angle at which the camera looks down".to_owned());
        }
        if view.get("height_m").zip(view.get("distance_m")).is_some_and(|(height, distance)| height >= distance) {
            return Err("`height_m` is not below `distance_m`, which is measured from the camera to the plate".to_owned());
        }
        if view.get("angle_deg").is_some_and(|angle| angle >= 90.0) {
            return Err("`angle_deg` is the angle to the lane, below 90".to_owned());
        }
        Ok(view)
    }

    /// Frames per second, if said.
    #[must_use]
    pub fn fps(&self) -> Option<f64> {
        self.get("fps")
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// Width and height in px of a plate of that size in a picture `picture_px` wide; `None` if the view does not tell.
    #[must_use]
    pub fn plate_px(&self, picture_px: f64, (plate_width_mm, plate_height_mm): (f64, f64)) -> Option<(f64, f64)> {
        if let Some(width) = self.get("plate_px") {
            return Some((width, width * plate_height_mm / plate_width_mm));
        }
        let lens = || Some(self.get("distance_m")? * self.get("sensor_mm")? / self.get("focal_mm")?);
        let px_per_mm = picture_px / self.get("width_m").or_else(lens)? / 1000.0;
        // From above a plate is lower, from the side it is narrower.
        let down = self.get("height_m").zip(self.get("distance_m")).map_or(1.0, |(height, distance)| (height / distance).asin().cos());
        let aside = self.get("angle_deg").map_or(1.0, |angle| angle.to_radians().cos());
        Some((plate_width_mm * px_per_mm * aside, plate_height_mm * px_per_mm * down))
    }
}

/// How well plates of a size will be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Legible {
    /// Nine of ten single frames, and the vote has many.
    Well,
    /// Two of three single frames.
    Less,
    /// Too small to read.
    TooSmall,
    /// The detector will not find them.
    NotFound,
}

impl Legible {
    /// For a plate of that size in px; `detector_px` is its width in the detector's input.
    #[must_use]
    pub fn of((width, height): (f64, f64), detector_px: f64) -> Self {
        let as_one_row = width.min(height * WIDTH_TO_HEIGHT);
        match () {
            () if detector_px < DETECTED_PX => Self::NotFound,
            () if as_one_row < READ_AT_ALL_PX => Self::TooSmall,
            () if as_one_row < READ_WELL_PX => Self::Less,
            () => Self::Well,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EU: (f64, f64) = (520.0, 110.0);

    fn plate(text: &str) -> (f64, f64) {
        let (w, h) = View::parse(text).unwrap().plate_px(1920.0, EU).unwrap();
        ((w * 10.0).round() / 10.0, (h * 10.0).round() / 10.0)
    }

    #[test]
    fn a_plate_is_as_large_as_the_scene_the_lens_or_the_ruler_says() {
        assert_eq!(plate("width_m=6"), (166.4, 35.2));
        // 14 m away 8 mm before 5.4 mm see 9.45 m.
        assert_eq!(plate("focal_mm=8 sensor_mm=5.4 distance_m=14"), (105.7, 22.3));
        // 4 m above: 16.6 degrees down. 30 degrees to the lane.
        assert_eq!(plate("focal_mm=8,sensor_mm=5.4,distance_m=14,height_m=4,angle_deg=30"), (91.5, 21.4));
        assert_eq!(plate("plate_px=104"), (104.0, 22.0));
        assert_eq!(View::parse("fps=25 size=1280x720").unwrap().plate_px(1280.0, EU), None);
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (text, says) in [
            ("wide=6", "`wide` is unknown; there are size, width_m"),
            ("width_m", "no `name=value`"),
            ("width_m=0", "above 0"),
            ("focal_mm=8", "sensor_mm"),
            ("width_m=4 height_m=3", "distance_m"),
            ("distance_m=3 height_m=3 width_m=2", "not below"),
            ("angle_deg=90 width_m=2", "below 90"),
            ("size=1920", "size=1920x1080"),
            ("width_m=NaN", "no number"),
        ] {
            let error = View::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn small_plates_are_called_small() {
        let of = |width: f64| Legible::of((width, width * 110.0 / 520.0), width / 2.0);
        assert_eq!([30.0, 50.0, 75.0, 120.0].map(of), [Legible::NotFound, Legible::TooSmall, Legible::Less, Legible::Well]);
        // A tall plate in a flat view has low characters.
        assert_eq!(Legible::of((120.0, 12.0), 60.0), Legible::TooSmall);
        // 4K: the detector sees a quarter of it.
        assert_eq!(Legible::of((70.0, 15.0), 17.5), Legible::NotFound);
    }
}
