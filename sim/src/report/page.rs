use std::fmt::Write as _;

use super::svg::escape;

/// A picture on a page, with what is to be said of it.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// A sentence or two; plain text.
    pub about: String,
    /// The picture: SVG.
    pub picture: String,
}

const STYLE: &str = "\
:root{color-scheme:light dark}body{margin:0;background:#f4f2ec;color:#23262e;font:15px/1.55 Inter,'Segoe UI','Helvetica Neue',Arial,sans-serif}\
main{max-width:1120px;margin:0 auto;padding:40px 24px 80px}h1{font-size:28px;margin:0 0 4px}h2{font-size:19px;margin:48px 0 4px}\
p{margin:0 0 14px;color:#5d6270;max-width:76ch}figure{margin:0;overflow-x:auto;border:1px solid #dedad0;border-radius:12px;background:#fcfbf8}\
svg{display:block;max-width:none;margin:0 auto}nav a{color:inherit;margin-right:18px}\
@media(prefers-color-scheme:dark){body{background:#0f1115;color:#e6e7ea}p{color:#9aa0ad}figure{border-color:#32353d;background:#16181d}}";

/// Pictures on one HTML page, whole in itself: no scripts, and nothing is fetched.
pub fn page(title: &str, about: &str, sections: &[Section]) -> String {
    let (title, about) = (escape(title), escape(about));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<main>\n<h1>{title}</h1>\n<p>{about}</p>\n<nav>"
    );
    for (n, section) in sections.iter().enumerate() {
        let _ = write!(page, "<a href=\"#s{n}\">{}</a>", escape(&section.title));
    }
    page += "</nav>\n";
    for (n, section) in sections.iter().enumerate() {
        let (title, about) = (escape(&section.title), escape(&section.about));
        let picture = &section.picture;
        let _ = write!(page, "<h2 id=\"s{n}\">{title}</h2>\n<p>{about}</p>\n<figure>\n{picture}</figure>\n");
    }
    page + "</main>\n</html>\n"
}
