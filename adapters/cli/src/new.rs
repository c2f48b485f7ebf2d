//! `moot new`: a code to give to the others.

use std::io::{self, IsTerminal as _};

use folkmoot::Code;
use qrcode::{Color, QrCode};

use crate::exit::Exit;
use crate::human;
use crate::ui;

pub(crate) fn run(no_qr: bool) -> Exit {
    let code = match folkmoot::generate_code() {
        Ok(code) => code,
        Err(error) => {
            human::failure(error.what(), error.hint());
            return Exit::Failure;
        }
    };
    // The code alone on stdout, so that `moot join $(moot new)` and pipes get nothing else.
    if let Err(error) = ui::print(code.as_str()) {
        human::failure(format_args!("the output cannot be written: {error}"), "");
        return Exit::Failure;
    }
    if io::stderr().is_terminal() {
        share(&code, no_qr);
    }
    Exit::Success
}

fn share(code: &Code, no_qr: bool) {
    eprintln!();
    if let (false, Ok(qr)) = (no_qr, QrCode::new(code.as_str())) {
        eprintln!("{}", draw(&qr));
    }
    eprintln!("Everyone who is to be there, you too, types:");
    eprintln!();
    eprintln!("    moot {code}");
    eprintln!();
    eprintln!("Tell it by a way you trust: whoever has the code is in.");
}

/// Light modules are drawn, dark ones left out, two rows to a line. On a dark terminal that is a code as printed; of a light one, most
/// readers take the inverse too. Around it is the margin of four modules that ISO/IEC 18004 asks for.
fn draw(qr: &QrCode) -> String {
    const MARGIN: isize = 4;
    let (width, colors) = (qr.width() as isize, qr.to_colors());
    let is_light = |x: isize, y: isize| {
        let is_inside = (0..width).contains(&x) && (0..width).contains(&y);
        !is_inside || colors.get((y * width + x) as usize) == Some(&Color::Light)
    };
    let mut lines = String::new();
    for y in (-MARGIN..width + MARGIN).step_by(2) {
        for x in -MARGIN..width + MARGIN {
            // Below the last row of an odd number there is nothing.
            lines.push(match (is_light(x, y), y + 1 < width + MARGIN && is_light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_whole() {
        let qr = QrCode::new("acid-tulip-seven-camel-proof").unwrap();
        let drawn = draw(&qr);
        let rows: Vec<_> = drawn.lines().collect();
        let side = qr.width() + 8;
        assert_eq!(rows.len(), side.div_ceil(2));
        assert!(rows.iter().all(|row| row.chars().count() == side));
        // The top left corner of a code: a dark ring around a light one around a dark square, seven modules wide.
        let finder: String = rows[2].chars().skip(4).take(7).collect();
        assert_eq!(finder, " ▄▄▄▄▄ ");
    }
}
