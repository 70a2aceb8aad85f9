//! The templates of a program, of which only those are parsed that a page needs.
//!
//! A percloud that slept is started by whoever visits it, and shows one page: parsing all of them would take longer than all
//! else of its start. So a template is taken out with what it extends and includes, and with those components that any of
//! them calls; each component by itself, not the whole file that it stands in.

use std::{
    collections::{HashMap, HashSet},
    sync::{PoisonError, RwLock},
};

use anyhow::{Context, bail, ensure};
use tera::Tera;

use crate::Template;

/// What begins the definition of a component.
const COMPONENT: &str = "{% component ";
/// What ends it, before its name.
const END: &str = "endcomponent ";
/// What names another template.
const REFERENCES: [&str; 2] = ["{% extends \"", "{% include \""];

/// Sources, and what has been parsed of them.
pub(crate) struct Library {
    sources: Sources,
    parsed: RwLock<Tera>,
}

/// Templates by their path and components by their name.
#[derive(Default)]
struct Sources {
    templates: HashMap<&'static str, &'static str>,
    components: HashMap<&'static str, &'static str>,
}

impl Library {
    /// Takes the templates in. `tera` has the functions that they call.
    pub(crate) fn new(templates: &[Template], tera: Tera) -> anyhow::Result<Self> {
        let mut sources = Sources::default();
        for (path, text) in templates {
            sources.add(path, text)?;
        }
        Ok(Self { sources, parsed: RwLock::new(tera) })
    }

    /// Renders a template; parses first what of it has not been parsed yet.
    pub(crate) fn render(&self, template: &str, context: &tera::Context) -> anyhow::Result<String> {
        self.parse(template)?;
        let tera = self.parsed.read().unwrap_or_else(PoisonError::into_inner);
        tera.render(template, context).map_err(|e| anyhow::anyhow!("{template}: {e:#}"))
    }

    /// Parses everything, so that nothing is wrong in what has not been asked for yet.
    pub(crate) fn parse_all(&self) -> anyhow::Result<()> {
        let mut all: Vec<&str> = self.sources.templates.keys().copied().collect();
        all.extend(self.sources.components.keys());
        self.add(&self.sources.needed(all)?)
    }

    fn parse(&self, template: &str) -> anyhow::Result<()> {
        if self.parsed.read().unwrap_or_else(PoisonError::into_inner).contains_template(template) {
            return Ok(());
        }
        self.add(&self.sources.needed(vec![template])?)
    }

    fn add(&self, needed: &[(String, &'static str)]) -> anyhow::Result<()> {
        let mut tera = self.parsed.write().unwrap_or_else(PoisonError::into_inner);
        let new = needed.iter().filter(|(name, _)| !tera.contains_template(name));
        let new: Vec<_> = new.map(|(name, text)| (name.as_str(), *text)).collect();
        tera.add_raw_templates(new).map_err(|e| anyhow::anyhow!("{e}"))
    }
}

impl Sources {
    fn add(&mut self, path: &'static str, text: &'static str) -> anyhow::Result<()> {
        if !text.contains(COMPONENT) {
            ensure!(self.templates.insert(path, text).is_none(), "the template {path} is there twice");
            return Ok(());
        }
        for (at, _) in text.match_indices(COMPONENT) {
            let component = &text[at..];
            let name = name(&component[COMPONENT.len()..]);
            let end = format!("{END}{name} %}}");
            let end = component.find(&end).with_context(|| format!("{path}: no {end:?}"))? + end.len();
            let twice = self.components.insert(name, &component[..end]).is_some();
            ensure!(!twice, "{path}: the component {name} is there twice");
        }
        Ok(())
    }

    /// A template or a component with all that it needs, each once: the name that it is parsed under, and its text.
    fn needed<'a>(&'a self, mut asked: Vec<&'a str>) -> anyhow::Result<Vec<(String, &'static str)>> {
        let (mut seen, mut needed) = (HashSet::new(), Vec::new());
        while let Some(one) = asked.pop() {
            if !seen.insert(one) {
                continue;
            }
            // What a name ends with says how the text is escaped.
            let (known_as, text) = match (self.templates.get(one), self.components.get(one)) {
                (Some(text), _) => (one.to_owned(), *text),
                (None, Some(text)) => (format!("component {one}.html"), *text),
                (None, None) => bail!("there is no template {one}"),
            };
            needed.push((known_as, text));
            for begin in REFERENCES {
                let named = text.match_indices(begin).map(|(at, _)| &text[at + begin.len()..]);
                asked.extend(named.filter_map(|rest| rest.split('"').next()));
            }
            let called = text.match_indices('<').map(|(at, _)| name(&text[at + 1..]));
            asked.extend(called.filter(|name| self.components.contains_key(name)));
        }
        Ok(needed)
    }
}

/// The name that a text begins with.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATES: &[Template] = &[
        ("base.html", "<{% block a %}{% endblock %}>{% include \"foot.txt\" %}"),
        ("foot.txt", "foot"),
        ("page.html", "{% extends \"base.html\" %}{% block a %}{{ <x.one n=\"&\" /> }}{% endblock %}"),
        ("other.html", "{{ <x.three /> }}"),
        (
            "parts.html",
            "{% component x.one(n: string) %}1{{ n }}{{ <x.two /> }}{% endcomponent x.one %}
             {% component x.two() %}2{% endcomponent x.two %}
             {% component x.three() %}{{ <x.missing /> }}{% endcomponent x.three %}",
        ),
    ];

    fn parsed(library: &Library) -> Vec<String> {
        let mut names: Vec<_> = library.parsed.read().unwrap().get_template_names().map(str::to_owned).collect();
        names.sort();
        names
    }

    #[test]
    fn a_page_is_parsed_with_what_it_needs_and_nothing_else() {
        let library = Library::new(TEMPLATES, Tera::new()).unwrap();
        assert!(parsed(&library).is_empty());
        for _ in 0..2 {
            assert_eq!(library.render("page.html", &tera::Context::new()).unwrap(), "<1&amp;2>foot");
            let want = ["base.html", "component x.one.html", "component x.two.html", "foot.txt", "page.html"];
            assert_eq!(parsed(&library), want);
        }
        assert_eq!(library.render("foot.txt", &tera::Context::new()).unwrap(), "foot");
    }

    #[test]
    fn what_is_wrong_is_found_when_it_is_asked_for_and_harms_nothing_else() {
        let library = Library::new(TEMPLATES, Tera::new()).unwrap();
        let why = |template: &str| library.render(template, &tera::Context::new()).unwrap_err().to_string();
        assert!(why("other.html").contains("x.missing"), "{}", why("other.html"));
        assert!(why("nowhere.html").contains("nowhere.html"));
        assert!(why("parts.html").contains("no template"), "components are called, not rendered");
        assert!(library.parse_all().unwrap_err().to_string().contains("x.missing"));
        assert!(library.render("page.html", &tera::Context::new()).is_ok());
    }

    #[test]
    fn what_is_there_twice_or_has_no_end_is_refused_at_once() {
        let twice = |templates: &[Template]| Library::new(templates, Tera::new()).err().map(|e| e.to_string());
        assert!(twice(&[("a", "1"), ("a", "2")]).unwrap().contains("twice"));
        let one = "{% component x() %}{% endcomponent x %}";
        assert!(twice(&[("a", one), ("b", one)]).unwrap().contains("twice"));
        assert!(twice(&[("a", "{% component x() %}{% endcomponent y %}")]).unwrap().contains("endcomponent x"));
    }
}
