//! Charts: axes, lines and bars, drawn with plotters into SVG. Colours are the page's, so that a chart is
//! readable in light, in dark and printed; legends are the page's too. Pure.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle};

use super::super::ReportError;

/// A chart's width in pixels.
pub(super) const WIDTH: i32 = 600;
const HEIGHT: i32 = 330;
const LEFT: i32 = 72;
const RIGHT: i32 = 32;
const TOP: i32 = 14;
const BOTTOM: i32 = 52;
/// plotters divides by 1.24: 13 pixels.
const FONT: f64 = 13.0 * 1.24;
/// Colours a page has for systems.
pub(super) const COLOURS: usize = 8;

// Colours that stand for the page's own, by which they are replaced.
const INK: RGBColor = RGBColor(2, 0, 0);
const GRID: RGBColor = RGBColor(2, 0, 1);
const SHADE: RGBColor = RGBColor(2, 0, 2);

fn colour(system: usize) -> RGBColor {
    RGBColor(1, 0, u8::try_from(system % COLOURS).unwrap_or(0))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), ReportError>;

fn trouble<E: std::error::Error>(error: E) -> ReportError {
    ReportError::Chart(error.to_string())
}

/// An axis: its range and its marks, in whatever the values were turned into (logarithms, say).
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) label: String,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) marks: Vec<(f64, String)>,
}

impl Axis {
    /// From `low` to at least `high` in even steps of a round number.
    pub(super) fn even(label: &str, low: f64, high: f64, write: fn(f64) -> String) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let rough = (high - low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
        let step = steps.iter().find(|step| **step * power >= rough * 0.999);
        let step = step.unwrap_or(&10.0) * power;
        let first = (low / step).ceil() as i64;
        let last = (high / step).ceil() as i64;
        let marks = (first..=last).map(|mark| mark as f64 * step);
        Self {
            label: label.to_owned(),
            low,
            high: high.max(last as f64 * step),
            marks: marks.map(|mark| (mark, write(mark))).collect(),
        }
    }

    /// The logarithms of `low` to `high`, marked at 1, 2 and 5 of every decade as far as they have room.
    pub(super) fn logarithmic(label: &str, low: f64, high: f64, write: fn(f64) -> String) -> Self {
        let low = low.max(1e-6);
        let high = high.max(low);
        let decades = (high / low).log10();
        let in_decade: &[f64] = if decades < 3.0 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let all: Vec<f64> = (first..=last)
            .flat_map(|power| {
                in_decade
                    .iter()
                    .map(move |digit| digit * 10_f64.powi(power))
            })
            .collect();
        let from = all.iter().rposition(|mark| *mark <= low * 1.000_001);
        let to = all.iter().position(|mark| *mark >= high * 0.999_999);
        let (from, mut to) = (from.unwrap_or(0), to.unwrap_or(all.len() - 1));
        if to <= from + 1 {
            to = (from + 2).min(all.len() - 1);
        }
        let marks = &all[from..=to];
        Self {
            label: label.to_owned(),
            low: marks.first().map_or(0.0, |mark| mark.log10()),
            high: marks.last().map_or(1.0, |mark| mark.log10()),
            marks: marks
                .iter()
                .map(|mark| (mark.log10(), write(*mark)))
                .collect(),
        }
    }

    fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// How strongly a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// The line that counts.
    Strong,
    /// The same, so many pixels wide.
    Wide(u32),
    /// One beside it.
    Light,
}

/// A line of a system.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub(super) system: usize,
    pub(super) weight: Weight,
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart of lines.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) traces: Vec<Trace>,
    /// Left of here nothing counts.
    pub(super) shade_until: Option<f64>,
}

impl Lines {
    /// The SVG.
    pub(super) fn draw(&self) -> Result<String, ReportError> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, HEIGHT as u32));
            let area = area.into_drawing_area();
            if let Some(until) = self.shade_until.filter(|until| *until > self.x.low) {
                let corners = [(LEFT, TOP), (self.at_x(until), HEIGHT - BOTTOM)];
                area.draw(&Rectangle::new(corners, SHADE.filled()))
                    .map_err(trouble)?;
            }
            self.axes(&area)?;
            for trace in &self.traces {
                self.trace(&area, trace)?;
            }
            area.present().map_err(trouble)?;
        }
        Ok(themed(&svg))
    }

    fn at_x(&self, value: f64) -> i32 {
        LEFT + (self.x.share(value) * f64::from(WIDTH - LEFT - RIGHT)).round() as i32
    }

    fn at_y(&self, value: f64) -> i32 {
        HEIGHT - BOTTOM - (self.y.share(value) * f64::from(HEIGHT - TOP - BOTTOM)).round() as i32
    }

    fn axes(&self, area: &Area<'_>) -> Drawn {
        let bottom = HEIGHT - BOTTOM;
        for (value, text) in &self.y.marks {
            let y = self.at_y(*value);
            line(area, &[(LEFT, y), (WIDTH - RIGHT, y)], GRID.stroke_width(1))?;
            write(area, text, (LEFT - 8, y), HPos::Right, VPos::Center)?;
        }
        for (value, text) in &self.x.marks {
            let x = self.at_x(*value);
            line(area, &[(x, TOP), (x, bottom)], GRID.stroke_width(1))?;
            write(area, text, (x, bottom + 7), HPos::Center, VPos::Top)?;
        }
        let frame = [(LEFT, TOP), (LEFT, bottom), (WIDTH - RIGHT, bottom)];
        line(area, &frame, INK.stroke_width(1))?;
        let middle = (LEFT + WIDTH - RIGHT) / 2;
        let under = (middle, HEIGHT - 8);
        write(area, &self.x.label, under, HPos::Center, VPos::Bottom)?;
        let style = text_style(HPos::Center, VPos::Top).transform(FontTransform::Rotate270);
        let beside = (2, (TOP + bottom) / 2);
        area.draw(&Text::new(self.y.label.clone(), beside, style))
            .map_err(trouble)
    }

    fn trace(&self, area: &Area<'_>, trace: &Trace) -> Drawn {
        let mut pixels: Vec<(i32, i32)> = Vec::with_capacity(trace.points.len());
        for (x, y) in &trace.points {
            let pixel = (self.at_x(*x), self.at_y(*y));
            if pixels.last() != Some(&pixel) {
                pixels.push(pixel);
            }
        }
        let colour = colour(trace.system);
        let style = match trace.weight {
            Weight::Strong => colour.stroke_width(2),
            Weight::Wide(pixels) => colour.stroke_width(pixels),
            Weight::Light => colour.mix(0.55).stroke_width(1),
        };
        if let [(x, y)] = pixels[..] {
            let corners = [(x - 3, y - 3), (x + 3, y + 3)];
            let dot = Rectangle::new(corners, colour.filled());
            return area.draw(&dot).map_err(trouble);
        }
        line(area, &pixels, style)
    }
}

/// A bar of a system.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) system: usize,
    pub(super) name: String,
    /// What it stands for; none has no bar, and only the text.
    pub(super) value: Option<f64>,
    pub(super) text: String,
}

/// Horizontal bars, one under the other, from zero.
pub(super) fn bars(bars: &[Bar], label: &str) -> Result<String, ReportError> {
    const STEP: i32 = 34;
    const NAMES: i32 = 170;
    const TEXTS: i32 = 70;
    let height = STEP * i32::try_from(bars.len()).unwrap_or(1) + TOP + 34;
    let most = bars.iter().filter_map(|bar| bar.value).fold(0.0, f64::max);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, height.unsigned_abs()));
        let area = area.into_drawing_area();
        let mut y = TOP;
        for bar in bars {
            let middle = y + STEP / 2;
            write(
                &area,
                &cut(&bar.name, 22),
                (NAMES - 8, middle),
                HPos::Right,
                VPos::Center,
            )?;
            let mut end = NAMES;
            if let Some(value) = bar.value.filter(|_| most > 0.0) {
                end += (value / most * f64::from(WIDTH - NAMES - TEXTS))
                    .round()
                    .max(1.0) as i32;
                let corners = [(NAMES, y + 6), (end, y + STEP - 6)];
                area.draw(&Rectangle::new(corners, colour(bar.system).filled()))
                    .map_err(trouble)?;
            }
            write(
                &area,
                &bar.text,
                (end + 8, middle),
                HPos::Left,
                VPos::Center,
            )?;
            y += STEP;
        }
        line(&area, &[(NAMES, TOP), (NAMES, y)], INK.stroke_width(1))?;
        let under = ((NAMES + WIDTH) / 2, height - 8);
        write(&area, label, under, HPos::Center, VPos::Bottom)?;
        area.present().map_err(trouble)?;
    }
    Ok(themed(&svg))
}

/// A text that is no longer than so many letters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let start: String = text.chars().take(most - 1).collect();
    start + "…"
}

fn text_style(horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    let font = ("system-ui, sans-serif", FONT).into_font();
    TextStyle::from(font)
        .color(&INK)
        .pos(Pos::new(horizontal, vertical))
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), h: HPos, v: VPos) -> Drawn {
    area.draw(&Text::new(text.to_owned(), at, text_style(h, v)))
        .map_err(trouble)
}

fn line(area: &Area<'_>, points: &[(i32, i32)], style: ShapeStyle) -> Drawn {
    area.draw(&PathElement::new(points.to_vec(), style))
        .map_err(trouble)
}

/// The chart in the page's colours, as big as its place.
fn themed(svg: &str) -> String {
    let mut svg = svg.trim().to_owned();
    for (stands, for_what) in [
        ("\"#020000\"", "\"currentColor\""),
        ("\"#020001\"", "\"var(--grid)\""),
        ("\"#020002\"", "\"var(--shade)\""),
    ] {
        svg = svg.replace(stands, for_what);
    }
    for system in 0..COLOURS {
        let stands = format!("\"#0100{system:02X}\"");
        svg = svg.replace(&stands, &format!("\"var(--s{system})\""));
    }
    // Inside a page an SVG needs no name space, and the page is to name no address at all.
    svg.replace(" xmlns=\"http://www.w3.org/2000/svg\"", "")
}

#[cfg(test)]
mod tests {
    use super::super::super::figures;
    use super::*;

    #[test]
    fn even_axes_have_round_marks() {
        let axis = Axis::even("s", -5.0, 60.0, figures::trimmed);
        let marks: Vec<&str> = axis.marks.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(marks, ["0", "20", "40", "60"]);
        let axis = Axis::even("s", 0.0, 0.0, figures::trimmed);
        assert!(axis.high > axis.low && axis.marks.len() > 2);
    }

    #[test]
    fn logarithmic_axes_hold_what_they_show() {
        for (low, high) in [(0.3, 40.0), (5.0, 5.0), (0.01, 90_000.0), (1.0, 1.1)] {
            let axis = Axis::logarithmic("ms", low, high, figures::trimmed);
            assert!(axis.low <= low.log10() + 1e-6, "{axis:?}");
            assert!(axis.high >= high.log10() - 1e-6, "{axis:?}");
            assert!(axis.marks.len() >= 2, "{axis:?}");
        }
    }
}
