//! The table of R4's elements, read once into arrays.
//!
//! `fhir-profiles/r4-elements.txt` explains its format. An element is listed once, in the type that declares it. One hash table over
//! (class, name) holds which types have it, so that the element of a value is usually found at the first place.

use super::primitive::Primitive;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The table, which is part of the program. A test reads it, so that the panic cannot happen.
#[allow(clippy::panic)]
static TABLE: LazyLock<ShapeTable> = LazyLock::new(|| {
    ShapeTable::read(include_str!("../../../fhir-profiles/r4-elements.txt"))
        .unwrap_or_else(|line| panic!("r4-elements.txt: {line}"))
});

/// Number of a class: a type, or a part of a type that has elements of its own (`Patient.contact`).
pub(super) type ClassId = u16;
/// Number of an element.
pub(super) type ElementId = u16;

/// A type, or a part of a type with elements of its own.
#[derive(Debug)]
pub(super) struct TypeShape {
    /// Its path in the definitions: `HumanName`, `Patient.contact`.
    pub name: &'static str,
    /// Whether it is a resource type that can have instances.
    pub resource: bool,
    /// The bits of the required elements.
    pub required: u64,
    /// The bits of which exactly one must be present (ext-1: a value or nested extensions).
    pub either: u64,
    /// Its elements, those of its base first, with every type of a choice.
    pub elements: Vec<ElementId>,
    /// Number of bits that are in use.
    slots: u8,
    base: Option<ClassId>,
}

/// What an element holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// A primitive.
    Primitive(Primitive),
    /// An object of this class.
    Class(ClassId),
    /// Any resource.
    Resource,
}

/// An element under one of its names.
#[derive(Debug)]
pub(super) struct Element {
    /// Its name in JSON: `birthDate`, `deceasedBoolean`.
    pub name: &'static str,
    /// Its name in the definitions: `birthDate`, `deceased[x]`.
    pub defined: &'static str,
    /// The name of its type for messages.
    pub kind: &'static str,
    /// Its bit in its class; the types of a choice share one bit.
    pub slot: u8,
    /// Whether it repeats.
    pub array: bool,
    /// Whether it is one of the types of a choice.
    pub choice: bool,
    /// Whether a companion `_name` with id and extensions is allowed.
    pub companion: bool,
    /// What it holds.
    pub holds: Holds,
    /// The required value set, if it has one.
    pub codes: Option<u16>,
}

/// A required value set.
#[derive(Debug)]
pub(super) struct RequiredCodes {
    /// Its name.
    pub name: &'static str,
    /// The code system of the codings, when the element is a CodeableConcept.
    pub system: Option<&'static str>,
    /// Its codes, sorted.
    pub codes: Vec<&'static str>,
}

impl RequiredCodes {
    /// Whether `code` is in the value set.
    pub fn has(&self, code: &[u8]) -> bool {
        self.codes.binary_search_by(|own| own.as_bytes().cmp(code)).is_ok()
    }
}

/// An entry of the hash table.
#[derive(Clone, Copy, Debug)]
struct Slot {
    class: ClassId,
    element: ElementId,
}

const FREE: Slot = Slot {
    class: ClassId::MAX,
    element: 0,
};

/// The definitions of R4.
#[derive(Debug)]
pub(super) struct ShapeTable {
    pub classes: Vec<TypeShape>,
    pub elements: Vec<Element>,
    pub codes: Vec<RequiredCodes>,
    /// The class `Element`, which the companion `_name` has.
    pub companion: ClassId,
    by_name: HashMap<&'static str, ClassId>,
    probe: Vec<Slot>,
    /// How far a 64-bit hash is shifted to the right to give an index in `probe`.
    shift: u32,
}

/// A line of the table, which describes one element.
struct Line {
    path: &'static str,
    least: &'static str,
    array: bool,
    kinds: &'static str,
    codes: Option<u16>,
}

impl ShapeTable {
    /// The table of the program.
    pub fn get() -> &'static ShapeTable {
        &TABLE
    }

    /// The class of this name.
    pub fn class(&self, name: &str) -> Option<ClassId> {
        self.by_name.get(name).copied()
    }

    /// The element that `class` has under `name`.
    pub fn element(&self, class: ClassId, name: &[u8]) -> Option<&Element> {
        let mask = self.probe.len() - 1;
        let mut at = self.start(class, name);
        loop {
            let slot = self.probe[at];
            if slot.class == class {
                let element = &self.elements[usize::from(slot.element)];
                if element.name.as_bytes() == name {
                    return Some(element);
                }
            } else if slot.class == FREE.class {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// The first index for a lookup: class, length and both ends of the name are mixed; the upper bits of a product depend on all of them.
    fn start(&self, class: ClassId, name: &[u8]) -> usize {
        let ends = word(name) ^ word(&name[name.len().saturating_sub(8)..]).rotate_left(29);
        let key = u64::from(class) << 8 ^ name.len() as u64;
        let mixed = (ends ^ key.wrapping_mul(0xd6e8_feb8_6659_fd93)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> self.shift) as usize
    }

    /// Reads the table.
    ///
    /// # Errors
    /// The line that cannot be read.
    pub fn read(text: &'static str) -> Result<ShapeTable, &'static str> {
        let mut table = ShapeTable {
            classes: Vec::new(),
            elements: Vec::new(),
            codes: Vec::new(),
            companion: 0,
            by_name: HashMap::new(),
            probe: Vec::new(),
            shift: 0,
        };
        let mut bases: Vec<&'static str> = Vec::new();
        let mut lines: Vec<Line> = Vec::new();
        let mut sets: HashMap<&'static str, u16> = HashMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(set) = line.strip_prefix('=') {
                let (name, codes) = set.split_once(' ').ok_or(line)?;
                let (system, codes) = match codes.split_once("| ") {
                    Some((system, codes)) => (Some(system), codes),
                    None => (None, codes),
                };
                sets.insert(name, u16::try_from(table.codes.len()).map_err(|_| line)?);
                let codes = codes.split(' ').collect();
                table.codes.push(RequiredCodes { name, system, codes });
                continue;
            }
            let mut fields = line.split('|');
            let (head, cardinality) = (fields.next().ok_or(line)?, fields.next());
            let Some(cardinality) = cardinality else {
                let (name, base) = head.split_once(" : ").unwrap_or((head, ""));
                table.add(name).ok_or(line)?;
                bases.push(base);
                continue;
            };
            let (least, most) = cardinality.split_once("..").ok_or(line)?;
            let kinds = fields.next().ok_or(line)?;
            let codes = match fields.next() {
                Some(set) => Some(*set.strip_prefix('=').and_then(|name| sets.get(name)).ok_or(line)?),
                None => None,
            };
            if matches!(kinds, "BackboneElement" | "Element") {
                table.add(head).ok_or(line)?;
                bases.push(kinds);
            }
            lines.push(Line {
                path: head,
                least,
                array: most == "*",
                kinds,
                codes,
            });
        }
        table.companion = table.class("Element").ok_or("Element")?;
        for (class, base) in bases.iter().enumerate() {
            table.classes[class].base = match *base {
                "" => None,
                base => Some(table.class(base).ok_or(base)?),
            };
        }
        let mut own: Vec<Vec<&Line>> = table.classes.iter().map(|_| Vec::new()).collect();
        for line in &lines {
            let parent = line.path.rsplit_once('.').and_then(|(parent, _)| table.class(parent));
            own[usize::from(parent.ok_or(line.path)?)].push(line);
        }
        for class in 0..table.classes.len() {
            table.fill(class, &mut own)?;
        }
        table.index();
        Ok(table)
    }

    fn add(&mut self, name: &'static str) -> Option<()> {
        let id = ClassId::try_from(self.classes.len())
            .ok()
            .filter(|id| *id != FREE.class)?;
        self.by_name.insert(name, id).is_none().then_some(())?;
        self.classes.push(TypeShape {
            name,
            resource: false,
            required: 0,
            either: 0,
            elements: Vec::new(),
            slots: 0,
            base: None,
        });
        Some(())
    }

    /// Gives a class its elements, after its base has got them.
    fn fill(&mut self, class: usize, own: &mut Vec<Vec<&Line>>) -> Result<(), &'static str> {
        if !self.classes[class].elements.is_empty() {
            return Ok(());
        }
        if let Some(base) = self.classes[class].base.map(usize::from) {
            self.fill(base, own)?;
            let (slots, required, elements) = {
                let base = &self.classes[base];
                (base.slots, base.required, base.elements.clone())
            };
            let resource = self.classes[base].resource || matches!(self.classes[base].name, "Resource");
            let class = &mut self.classes[class];
            (class.slots, class.required, class.elements) = (slots, required, elements);
            class.resource = resource;
        }
        for line in std::mem::take(&mut own[class]) {
            let slot = self.classes[class].slots;
            if slot >= 64 {
                return Err(line.path);
            }
            self.classes[class].slots += 1;
            self.classes[class].required |= u64::from(line.least == "1") << slot;
            let defined = line.path.rsplit_once('.').map_or(line.path, |(_, name)| name);
            if self.classes[class].name == "Extension" && matches!(defined, "value[x]") {
                let nested = self.classes[class]
                    .elements
                    .iter()
                    .map(|id| &self.elements[usize::from(*id)]);
                let nested = nested
                    .filter(|element| element.name == "extension")
                    .map(|element| element.slot);
                self.classes[class].either = nested.fold(1 << slot, |bits, slot| bits | 1 << slot);
            }
            let choice = defined.strip_suffix("[x]");
            for kind in line.kinds.split(' ') {
                let (attribute, kind) = kind.strip_prefix('~').map_or((false, kind), |kind| (true, kind));
                let (holds, kind) = self.holds(line.path, kind).ok_or(line.path)?;
                let name = choice.map_or(defined, |base| String::leak(format!("{base}{}", capital(kind))));
                let id = ElementId::try_from(self.elements.len()).map_err(|_| line.path)?;
                self.elements.push(Element {
                    name,
                    defined,
                    kind,
                    slot,
                    array: line.array,
                    choice: choice.is_some(),
                    companion: matches!(holds, Holds::Primitive(kind) if kind != Primitive::Xhtml) && !attribute,
                    holds,
                    codes: line.codes,
                });
                self.classes[class].elements.push(id);
            }
        }
        Ok(())
    }

    /// The contents of an element of this type at this path, and the name of the type for messages.
    fn holds(&self, path: &'static str, kind: &'static str) -> Option<(Holds, &'static str)> {
        if let Some(other) = kind.strip_prefix('@') {
            return Some((Holds::Class(self.class(other)?), other));
        }
        if let Some(primitive) = Primitive::named(kind) {
            return Some((Holds::Primitive(primitive), kind));
        }
        match kind {
            "Resource" => Some((Holds::Resource, kind)),
            "BackboneElement" | "Element" => Some((Holds::Class(self.class(path)?), path)),
            _ => Some((Holds::Class(self.class(kind)?), kind)),
        }
    }

    fn index(&mut self) {
        let count: usize = self.classes.iter().map(|class| class.elements.len()).sum();
        self.probe = vec![FREE; (count * 2).next_power_of_two()];
        self.shift = 64 - self.probe.len().trailing_zeros();
        let mask = self.probe.len() - 1;
        for (number, class) in self.classes.iter().enumerate() {
            let number = number as ClassId;
            for &element in &class.elements {
                let mut at = self.start(number, self.elements[usize::from(element)].name.as_bytes());
                while self.probe[at].class != FREE.class {
                    at = (at + 1) & mask;
                }
                self.probe[at] = Slot { class: number, element };
            }
        }
    }
}

fn capital(kind: &str) -> String {
    let mut letters = kind.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}

/// The first eight bytes of a name as a number; a shorter name is used whole.
fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_is_all_of_r4() {
        let table = ShapeTable::get();
        let resources: Vec<&str> = table
            .classes
            .iter()
            .filter(|class| class.resource && class.name != "DomainResource")
            .map(|class| class.name)
            .collect();
        assert_eq!(resources.len(), 146);
        assert!(resources.iter().all(|name| causeway_fhir_types::is_type(name)));
        assert!(table.codes.iter().all(|codes| codes.codes.is_sorted()));
        let longest = table
            .probe
            .split(|slot| slot.class == FREE.class)
            .map(<[Slot]>::len)
            .max();
        assert!(longest < Some(24), "{longest:?}");
        for (number, class) in table.classes.iter().enumerate() {
            for id in &class.elements {
                let element = &table.elements[usize::from(*id)];
                let found = table.element(number as ClassId, element.name.as_bytes());
                assert!(
                    found.is_some_and(|found| std::ptr::eq(found, element)),
                    "{} {}",
                    class.name,
                    element.name
                );
            }
        }
    }

    #[test]
    fn elements_are_as_the_definitions_give_them() {
        let table = ShapeTable::get();
        let of = |class: &str, name: &str| table.element(table.class(class).expect("a class"), name.as_bytes());
        let deceased = of("Patient", "deceasedBoolean").expect("a choice");
        assert!(deceased.choice && !deceased.array && deceased.companion && deceased.defined == "deceased[x]");
        assert_eq!(
            deceased.slot,
            of("Patient", "deceasedDateTime").expect("the other").slot
        );
        let range = of("Observation.component", "referenceRange").expect("by reference");
        assert!(range.array && range.holds == Holds::Class(table.class("Observation.referenceRange").expect("it")));
        assert!(of("Patient", "name").is_some_and(|name| name.array && name.kind == "HumanName"));
        assert!(of("Patient.contact", "modifierExtension").is_some() && of("HumanName", "modifierExtension").is_none());
        assert!(of("Patient", "id").is_some_and(|id| !id.companion) && of("Patient", "deceasedString").is_none());
        let extension = &table.classes[usize::from(table.class("Extension").expect("it"))];
        assert_eq!((extension.either.count_ones(), extension.required.count_ones()), (2, 1));
        assert!(
            ShapeTable::read("Patient : Nothing").is_err() && ShapeTable::read("Element\nElement.a|0..1|none").is_err()
        );
    }
}
