//! What a visitor sends: a `multipart/form-data` body, read within limits.

use bytes::Bytes;
use futures_util::Stream;
use multer::{Constraints, Multipart, SizeLimit};

use crate::guestbook::Signature;
use crate::picture::{Kind, PICTURE_BYTES_MAX};

/// Characters of a name and of a message.
pub const NAME_CHARS_MAX: usize = 60;
/// See [`NAME_CHARS_MAX`].
pub const MESSAGE_CHARS_MAX: usize = 600;
/// A character takes up to 4 bytes; a line break two.
const TEXT_BYTES_MAX: u64 = 8 * MESSAGE_CHARS_MAX as u64;

/// What is wrong with a form, told to the visitor.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// No name.
    #[error("Please tell us your name.")]
    NoName,
    /// No message.
    #[error("Please write a few words.")]
    NoMessage,
    /// The name is too long.
    #[error("Your name is longer than {NAME_CHARS_MAX} characters. Please shorten it.")]
    NameTooLong,
    /// The message is too long.
    #[error("Your message is longer than {MESSAGE_CHARS_MAX} characters. Please shorten it.")]
    MessageTooLong,
    /// The picture is too large.
    #[error("Your picture is larger than {} MB. Please choose a smaller one.", PICTURE_BYTES_MAX >> 20)]
    PictureTooLarge,
    /// Not a picture.
    #[error("That file is not a picture that we can show. Please choose a JPEG, PNG, GIF or WebP file.")]
    NotPicture,
    /// The browser sent something else than the form.
    #[error("The form did not arrive whole. Please try again.")]
    Broken,
}

/// The texts as they were sent, so that nobody has to write them twice.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Draft {
    pub name: String,
    pub message: String,
}

/// Reads the form; on a mistake returns what was written so far with it.
pub async fn read<S>(content_type: &str, body: S) -> Result<Signature, (FormError, Draft)>
where
    S: Stream<Item = Result<Bytes, hyper::Error>> + Send,
{
    let mut draft = Draft::default();
    let mut picture = None;
    match read_fields(content_type, body, &mut draft, &mut picture).await.and_then(|()| check(&draft)) {
        Ok(()) => Ok(Signature { name: draft.name, message: draft.message, picture }),
        Err(error) => Err((error, draft)),
    }
}

async fn read_fields<S>(
    content_type: &str,
    body: S,
    draft: &mut Draft,
    picture: &mut Option<(Kind, Vec<u8>)>,
) -> Result<(), FormError>
where
    S: Stream<Item = Result<Bytes, hyper::Error>> + Send,
{
    let boundary = multer::parse_boundary(content_type).map_err(|_| FormError::Broken)?;
    let limits = SizeLimit::new()
        .whole_stream(PICTURE_BYTES_MAX as u64 + 4 * TEXT_BYTES_MAX)
        .for_field("name", TEXT_BYTES_MAX)
        .for_field("message", TEXT_BYTES_MAX)
        .for_field("picture", PICTURE_BYTES_MAX as u64);
    let mut form = Multipart::with_constraints(body, boundary, Constraints::new().size_limit(limits));
    while let Some(field) = form.next_field().await.map_err(|e| mistake(&e))? {
        match field.name() {
            Some("name") => draft.name = tidy(&field.text().await.map_err(|_| FormError::NameTooLong)?),
            Some("message") => {
                draft.message = tidy(&field.text().await.map_err(|_| FormError::MessageTooLong)?);
            }
            Some("picture") => {
                let bytes = field.bytes().await.map_err(|e| mistake(&e))?;
                // A browser sends an empty file when none was chosen.
                if !bytes.is_empty() {
                    let kind = Kind::of(&bytes).ok_or(FormError::NotPicture)?;
                    *picture = Some((kind, bytes.to_vec()));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn mistake(error: &multer::Error) -> FormError {
    match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            FormError::PictureTooLarge
        }
        _ => FormError::Broken,
    }
}

/// One kind of line break, no other control characters, no blanks around.
fn tidy(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect::<String>().trim().to_owned()
}

fn check(draft: &Draft) -> Result<(), FormError> {
    match (draft.name.chars().count(), draft.message.chars().count()) {
        (0, _) => Err(FormError::NoName),
        (name, _) if name > NAME_CHARS_MAX => Err(FormError::NameTooLong),
        (_, 0) => Err(FormError::NoMessage),
        (_, message) if message > MESSAGE_CHARS_MAX => Err(FormError::MessageTooLong),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, file: &str, value: &[u8]) -> Vec<u8> {
        let head = format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        [head.as_bytes(), value, b"\r\n"].concat()
    }

    async fn read_form(name: &str, message: &[u8], picture: &[u8]) -> Result<Signature, (FormError, Draft)> {
        let fields = [field("name", "", name.as_bytes()), field("message", "", message), {
            field("picture", "; filename=\"a.png\"", picture)
        }];
        let body = [fields.concat(), b"--x--\r\n".to_vec()].concat();
        let chunks: Vec<_> = body.chunks(1000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        read("multipart/form-data; boundary=x", futures_util::stream::iter(chunks)).await
    }

    type Row<'a> = (&'a str, &'a [u8], &'a [u8], Result<bool, FormError>);

    #[tokio::test]
    async fn forms_are_checked() {
        let png: &[u8] = b"\x89PNG\r\n\x1a\nrest";
        let long = "é".repeat(MESSAGE_CHARS_MAX);
        let huge = [png, &vec![0; PICTURE_BYTES_MAX]].concat();
        let rows: [Row<'_>; 9] = [
            ("Ada", b"Hello", png, Ok(true)),
            (" Ada ", b"Hello\r\nthere", b"", Ok(false)),
            ("Ada", long.as_bytes(), b"", Ok(false)),
            ("", b"Hello", b"", Err(FormError::NoName)),
            ("Ada", b"  \r\n ", b"", Err(FormError::NoMessage)),
            ("Ada", &[long.as_bytes(), b"x"].concat(), b"", Err(FormError::MessageTooLong)),
            (&"x".repeat(NAME_CHARS_MAX + 1), b"Hello", b"", Err(FormError::NameTooLong)),
            ("Ada", b"Hello", b"<svg/>", Err(FormError::NotPicture)),
            ("Ada", b"Hello", &huge, Err(FormError::PictureTooLarge)),
        ];
        for (name, message, picture, expected) in rows {
            let result = read_form(name, message, picture).await;
            let outcome = result.map(|signature| signature.picture.is_some()).map_err(|(error, _)| error);
            assert_eq!(outcome, expected, "{name:.10}");
        }
    }

    #[tokio::test]
    async fn what_was_written_is_kept() {
        let (_, draft) = read_form("Ada", b"Hello\r\nthere", b"nonsense").await.unwrap_err();
        assert_eq!(draft, Draft { name: "Ada".to_owned(), message: "Hello\nthere".to_owned() });
    }

    #[tokio::test]
    async fn other_bodies_are_refused() {
        let body = || futures_util::stream::iter([Ok(Bytes::from_static(b"name=Ada"))]);
        for content_type in ["", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let (error, _) = read(content_type, body()).await.unwrap_err();
            assert_eq!(error, FormError::Broken);
        }
    }
}
