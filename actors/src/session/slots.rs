//! Per-session data of modules: typed, private to its owner, serialisable with the session.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, ser::SerializeMap,
};
use serde_json::Value;
use std::{any::Any, collections::BTreeMap, fmt};

/// A module's data of one session.
pub trait Slot:
    Serialize + DeserializeOwned + Default + fmt::Debug + Send + Sync + 'static
{
    /// A name that stays the same from build to build: frozen sessions are found by it.
    const NAME: &'static str;
}

trait AnySlot: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn to_value(&self) -> Value;
    fn as_any(&mut self) -> &mut dyn Any;
}

impl<T: Slot> AnySlot for T {
    fn name(&self) -> &'static str {
        T::NAME
    }
    fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// The slots of a session. A handful: searched linearly.
#[derive(Debug, Default)]
pub struct Slots {
    live: Vec<Box<dyn AnySlot>>,
    /// Thawed and not used yet.
    frozen: BTreeMap<String, Value>,
}

impl Slots {
    /// The slot of type `T`.
    pub fn get<T: Slot>(&mut self) -> &mut T {
        let at = match self.live.iter().position(|s| s.name() == T::NAME) {
            Some(at) => at,
            None => {
                // a value that this build cannot read any more begins anew
                let frozen = self.frozen.remove(T::NAME);
                let slot: T =
                    frozen.and_then(|v| serde_json::from_value(v).ok()).unwrap_or_default();
                self.live.push(Box::new(slot));
                self.live.len() - 1
            }
        };
        #[expect(
            clippy::expect_used,
            reason = "names are unique per type: two types of one name are a programming error"
        )]
        self.live
            .get_mut(at)
            .and_then(|s| (**s).as_any().downcast_mut())
            .expect("a slot's name belongs to one type")
    }
}

impl Serialize for Slots {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for slot in &self.live {
            map.serialize_entry(slot.name(), &slot.to_value())?;
        }
        for (name, value) in &self.frozen {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Slots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { live: Vec::new(), frozen: BTreeMap::deserialize(deserializer)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Serialize, Deserialize, PartialEq)]
    struct Count(u32);
    impl Slot for Count {
        const NAME: &'static str = "count";
    }

    #[test]
    fn slots_survive_freezing_even_when_not_used_in_between() {
        let mut slots = Slots::default();
        slots.get::<Count>().0 = 7;
        let bytes = serde_json::to_vec(&slots).unwrap();
        let again: Slots = serde_json::from_slice(&bytes).unwrap();
        let bytes = serde_json::to_vec(&again).unwrap();
        let mut again: Slots = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(*again.get::<Count>(), Count(7));
    }

    #[test]
    fn a_frozen_value_of_another_shape_begins_anew() {
        let mut slots: Slots = serde_json::from_str(r#"{"count":"seven"}"#).unwrap();
        assert_eq!(*slots.get::<Count>(), Count(0));
    }
}
