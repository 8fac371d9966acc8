//! A plot as SVG: axes, series, and words for who points at it. It needs no script and no style but the page's.

use std::fmt::Write;

use super::axis::Axis;
use super::html::escape;

/// The size of a plot in its own units; the page scales it.
const WIDTH: f64 = 494.0;
const HEIGHT: f64 = 250.0;

/// What is left for the words beside the axes.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;

/// How wide a letter is at most, about.
const LETTER: f64 = 6.2;

/// How many series have a colour and a dash of their own.
pub(super) const MAX_SERIES: usize = 6;

/// A picture with its title and legend.
pub(super) struct Plot {
    pub(super) title: &'static str,
    /// One sentence on how to read it.
    pub(super) caption: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
    /// From, to, and what is there.
    pub(super) hover: Vec<(f64, f64, String)>,
}

/// One line or area.
pub(super) struct Series {
    pub(super) name: String,
    /// Which colour, from 0 to [`MAX_SERIES`] - 1.
    pub(super) color: usize,
    pub(super) shape: Shape,
}

pub(super) enum Shape {
    /// From point to point.
    Curve(Vec<(f64, f64)>),
    /// A level for each span of this width, from 0 on; nothing where there is none.
    Steps(f64, Vec<Option<f64>>),
    /// A lower and an upper level for each span of this width.
    Bands(f64, Vec<(f64, f64)>),
}

impl Plot {
    /// The figure, with the class `plot`.
    pub(super) fn render(&self) -> String {
        let mut figure = String::new();
        let (title, caption) = (escape(self.title), escape(&self.caption));
        let _ = writeln!(
            figure,
            "<figure class=\"plot\"><figcaption><h3>{title}</h3><p>{caption}</p></figcaption>"
        );
        self.legend(&mut figure);
        let _ = writeln!(
            figure,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}: {caption}\">"
        );
        self.grid(&mut figure);
        self.series.iter().for_each(|series| self.draw(series, &mut figure));
        self.hover_columns(&mut figure);
        figure += "</svg></figure>\n";
        figure
    }

    fn legend(&self, out: &mut String) {
        if self.series.len() < 2 {
            return;
        }
        *out += "<ul class=\"legend\">";
        for series in &self.series {
            let color = series.color % MAX_SERIES;
            let swatch = match series.shape {
                Shape::Bands(..) => format!("<rect class=\"a{color}\" width=\"22\" height=\"10\"/>"),
                _ => format!("<path class=\"l{color}\" d=\"M0 5H22\"/>"),
            };
            let name = escape(&series.name);
            let _ = write!(out, "<li><svg class=\"swatch\" viewBox=\"0 0 22 10\">{swatch}</svg>{name}</li>");
        }
        *out += "</ul>\n";
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn grid(&self, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        *out += "<g class=\"grid\">";
        for (at, words) in &self.y.ticks {
            let y = self.y(*at);
            let _ = write!(out, "<path d=\"M{LEFT} {y:.1}H{right}\"/>");
            let _ = write!(
                out,
                "<text class=\"ty\" x=\"{}\" y=\"{:.1}\">{}</text>",
                LEFT - 6.0,
                y + 3.5,
                escape(words)
            );
        }
        let stride = self.label_stride();
        for (position, (at, words)) in self.x.ticks.iter().enumerate() {
            let x = self.x(*at);
            let _ = write!(out, "<path d=\"M{x:.1} {TOP}V{bottom}\"/>");
            if position % stride == 0 {
                let (y, words) = (bottom + 14.0, escape(words));
                let _ = write!(out, "<text class=\"tx\" x=\"{x:.1}\" y=\"{y}\">{words}</text>");
            }
        }
        let middle = (LEFT + right) / 2.0;
        let _ = write!(
            out,
            "<text class=\"tl\" x=\"{middle}\" y=\"{}\">{}</text>",
            HEIGHT - 8.0,
            escape(self.x.label)
        );
        let middle = (TOP + bottom) / 2.0;
        let _ = writeln!(
            out,
            "<text class=\"tl\" transform=\"translate(11 {middle}) rotate(-90)\">{}</text></g>",
            escape(self.y.label)
        );
    }

    /// Every how many steps of the lower axis there is room for words. The steps are all as wide.
    fn label_stride(&self) -> usize {
        let [(first, _), (second, _), ..] = self.x.ticks.as_slice() else { return 1 };
        let widest = self.x.ticks.iter().map(|(_, words)| words.len() + 1).max().unwrap_or(1);
        (widest as f64 * LETTER / (self.x(*second) - self.x(*first)).max(1.0)).ceil().max(1.0) as usize
    }

    fn draw(&self, series: &Series, out: &mut String) {
        let color = series.color % MAX_SERIES;
        let (class, path) = match &series.shape {
            Shape::Curve(points) => ('l', self.curve(points)),
            Shape::Steps(width, levels) => ('l', self.steps(*width, levels)),
            Shape::Bands(width, levels) => ('a', self.bands(*width, levels)),
        };
        if !path.is_empty() {
            let _ = writeln!(out, "<path class=\"{class}{color}\" d=\"{path}\"/>");
        }
    }

    fn curve(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        for (x, y) in points {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", self.x(*x), self.y(*y));
        }
        path
    }

    fn steps(&self, width: f64, levels: &[Option<f64>]) -> String {
        let mut path = String::new();
        let (mut is_drawing, mut begin) = (false, 0);
        for run in levels.chunk_by(|left, right| left == right) {
            let end = begin + run.len();
            if let Some(level) = run[0] {
                let (y, right) = (self.y(level), self.x(end as f64 * width));
                let _ = match is_drawing {
                    true => write!(path, "V{y:.1}H{right:.1}"),
                    false => write!(path, "M{:.1} {y:.1}H{right:.1}", self.x(begin as f64 * width)),
                };
            }
            (is_drawing, begin) = (run[0].is_some(), end);
        }
        path
    }

    fn bands(&self, width: f64, levels: &[(f64, f64)]) -> String {
        let mut path = String::new();
        if levels.iter().all(|(low, high)| low >= high) {
            return path;
        }
        let _ = write!(path, "M{:.1} {:.1}", self.x(0.0), self.y(levels[0].1));
        let mut position = 0;
        for run in levels.chunk_by(|left, right| left.1 == right.1) {
            position += run.len();
            let _ = write!(path, "V{:.1}H{:.1}", self.y(run[0].1), self.x(position as f64 * width));
        }
        for run in levels.chunk_by(|left, right| left.0 == right.0).rev() {
            position -= run.len();
            let _ = write!(path, "V{:.1}H{:.1}", self.y(run[0].0), self.x(position as f64 * width));
        }
        path + "Z"
    }

    /// Columns that nobody sees until one is pointed at; the browser shows their titles.
    fn hover_columns(&self, out: &mut String) {
        *out += "<g class=\"hover\">";
        let height = HEIGHT - TOP - BOTTOM;
        for (from, to, words) in &self.hover {
            let (x, right) = (self.x(*from), self.x(*to));
            let (width, words) = (right - x, escape(words));
            let _ = writeln!(
                out,
                "<path d=\"M{x:.1} {TOP}h{width:.1}v{height}h-{width:.1}z\"><title>{words}</title></path>"
            );
        }
        *out += "</g>";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(series: Vec<Series>) -> Plot {
        let (x, y) = (Axis::time(4_000_000), Axis::shares("share"));
        Plot {
            title: "T",
            caption: "<c>".to_owned(),
            x,
            y,
            series,
            hover: vec![(0.0, 1e6, "a & b".to_owned())],
        }
    }

    fn series(shape: Shape) -> Series {
        Series { name: "<s>".to_owned(), color: 0, shape }
    }

    #[test]
    fn gaps_interrupt_steps_and_nothing_is_no_path() {
        let plot = plot(Vec::new());
        let gap = plot.steps(1e6, &[Some(0.0), None, Some(1.0), Some(0.5)]);
        assert_eq!(gap, "M66.0 210.0H166.0M266.0 10.0H366.0V110.0H466.0");
        assert_eq!(plot.steps(1e6, &[None, None]), "");
        assert_eq!(plot.bands(1e6, &[(0.0, 0.0)]), "");
        assert_eq!(plot.bands(1e6, &[]), "");
        assert_eq!(plot.bands(4e6, &[(0.5, 1.0)]), "M66.0 10.0V10.0H466.0V110.0H66.0Z");
        assert_eq!(plot.curve(&[(0.0, 0.0), (4e6, 1.0)]), "M66.0 210.0L466.0 10.0");
    }

    #[test]
    fn words_are_escaped_wherever_they_stand() {
        let steps = || series(Shape::Steps(1e6, vec![Some(1.0)]));
        let figure = plot(vec![steps(), steps()]).render();
        assert!(figure.contains("&lt;c&gt;") && figure.contains("&lt;s&gt;") && figure.contains("a &amp; b"));
        assert!(!figure.contains("<c>") && !figure.contains("<s>"), "{figure}");
    }
}
