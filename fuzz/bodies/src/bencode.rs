use folkmoot_core::wire::bencode::{Error, Reader, Writer, is_canonical};

/// Reads a value; what can be read is written again byte for byte, whichever way it is read.
pub fn bencode(bytes: &[u8]) {
    let mut skipper = Reader::new(bytes);
    let skipped = skipper.skip();
    let mut copy = Vec::new();
    let mut copier = Reader::new(bytes);
    let copied = rewrite(&mut copier, &mut copy);
    assert_eq!(skipped.map(drop), copied);
    let _ = is_canonical(bytes);
    if let Ok(value) = skipped {
        assert_eq!(value, copy, "lengths and integers have one form");
        assert_eq!(skipper.position(), copier.position());
        assert!(bytes.starts_with(value) && value.len() == skipper.position());
        assert!(!is_canonical(bytes) || skipper.is_at_end());
    }
}

/// Copies the next value with its type's own call.
fn rewrite(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    if reader.at_dict() {
        Writer::new(out).dict();
        reader.dict(|key, reader| {
            Writer::new(out).bytes(key);
            rewrite(reader, out)
        })?;
        Writer::new(out).end();
    } else if reader.at_list() {
        Writer::new(out).list();
        reader.list(|reader| rewrite(reader, out))?;
        Writer::new(out).end();
    } else {
        let mut int = reader.clone();
        if let Ok(value) = int.int() {
            Writer::new(out).int(value);
            *reader = int;
        } else if let Some(string) = reader.bytes_or_skip()? {
            Writer::new(out).bytes(string);
        }
    }
    Ok(())
}
