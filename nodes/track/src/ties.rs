//! Which vehicle a plate belongs to.

use gantry_messages::BoxXyxy;

/// How well `plate` sits on `vehicle`: `None` if it cannot, else a score where higher is better.
///
/// The centre of the plate must lie inside the vehicle, not in its upper quarter, and be 3 % to 90 % of its width. Best is
/// the middle of the lower part at 0.27 of the width (520 mm on 1900 mm). A car in front of a truck lies inside the truck's
/// box too: there its plate is off the middle or too small, and the car's own box scores higher.
pub fn fit(plate: &BoxXyxy, vehicle: &BoxXyxy) -> Option<f32> {
    let (w, h) = (vehicle.width(), vehicle.height());
    if w < 1.0 || h < 1.0 {
        return None;
    }
    let (px, py) = plate.center();
    let (u, v) = ((px - vehicle.x0) / w, (py - vehicle.y0) / h);
    let ratio = plate.width() / w;
    if !(-0.03..=1.03).contains(&u) || !(0.25..=1.05).contains(&v) || !(0.03..=0.9).contains(&ratio) {
        return None;
    }
    let too_small_or_large = (ratio / 0.27).ln().abs();
    Some(-(u - 0.5).abs() - (v - 0.75).abs() - 0.5 * too_small_or_large)
}

/// Place of a plate relative to its vehicle, in parts of the vehicle's width and height.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    u: f32,
    v: f32,
    w: f32,
    h: f32,
}

impl Seat {
    /// Where `plate` sits on `vehicle` now.
    pub fn of(plate: &BoxXyxy, vehicle: &BoxXyxy) -> Self {
        let (w, h) = (vehicle.width().max(1.0), vehicle.height().max(1.0));
        let (px, py) = plate.center();
        Self { u: (px - vehicle.x0) / w, v: (py - vehicle.y0) / h, w: plate.width() / w, h: plate.height() / h }
    }

    /// Where the plate should be when the vehicle is at `vehicle`.
    pub fn on(&self, vehicle: &BoxXyxy) -> BoxXyxy {
        let (vw, vh) = (vehicle.width(), vehicle.height());
        let (x, y) = (vehicle.x0 + self.u * vw, vehicle.y0 + self.v * vh);
        let (hw, hh) = (self.w * vw * 0.5, self.h * vh * 0.5);
        BoxXyxy::new(x - hw, y - hh, x + hw, y + hh)
    }
}

#[cfg(test)]
mod tests {
    use super::{Seat, fit};
    use gantry_messages::BoxXyxy;

    #[test]
    fn a_plate_prefers_the_car_in_front_to_the_truck_behind_it() {
        let car = BoxXyxy::new(600.0, 500.0, 900.0, 720.0);
        let truck = BoxXyxy::new(400.0, 100.0, 950.0, 730.0);
        let plate = BoxXyxy::new(705.0, 650.0, 795.0, 670.0);
        assert!(fit(&plate, &car).unwrap() > fit(&plate, &truck).unwrap());
    }

    #[test]
    fn a_sign_above_the_windscreen_is_not_the_plate() {
        let truck = BoxXyxy::new(0.0, 0.0, 400.0, 600.0);
        assert_eq!(fit(&BoxXyxy::new(150.0, 40.0, 250.0, 65.0), &truck), None);
        assert_eq!(fit(&BoxXyxy::new(500.0, 440.0, 600.0, 465.0), &truck), None);
    }

    #[test]
    fn a_seat_moves_and_grows_with_the_vehicle() {
        let seat = Seat::of(&BoxXyxy::new(140.0, 170.0, 160.0, 176.0), &BoxXyxy::new(100.0, 100.0, 200.0, 200.0));
        let on = seat.on(&BoxXyxy::new(300.0, 300.0, 500.0, 500.0));
        assert!((on.x0 - 380.0).abs() < 1e-3 && (on.x1 - 420.0).abs() < 1e-3 && (on.y0 - 440.0).abs() < 1e-3, "{on:?}");
    }
}
