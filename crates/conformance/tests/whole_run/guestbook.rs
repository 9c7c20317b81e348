//! The guestbook as a person uses it, over HTTP.

use std::io::Cursor;
use std::time::Duration;

use image::{ImageFormat, Rgb, RgbImage};

const TIMEOUT: Duration = Duration::from_secs(20);
const BOUNDARY: &str = "----a-person-signs----";

pub struct Guestbook {
    url: String,
    agent: ureq::Agent,
}

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Guestbook {
    pub fn at(url: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            // Each request a connection of its own: the load balancer decides anew.
            .max_idle_connections(0)
            .build()
            .into();
        Self { url: url.trim_end_matches('/').to_owned(), agent }
    }

    pub fn get(&self, path: &str) -> Result<Answer, ureq::Error> {
        let mut response = self.agent.get(format!("{}{path}", self.url)).call()?;
        Ok(Answer { status: response.status().as_u16(), body: response.body_mut().read_to_vec()? })
    }

    /// Signs with a picture; the page that follows.
    pub fn sign(&self, name: &str, message: &str, picture: &[u8]) -> Result<Answer, ureq::Error> {
        let mut body = Vec::new();
        for (field, value) in [("name", name), ("message", message)] {
            let head = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
            );
            body.extend(head.into_bytes());
        }
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"p.png\"\r\n\
             Content-Type: image/png\r\n\r\n"
        );
        body.extend(head.into_bytes());
        body.extend(picture);
        body.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
        let mut response = self
            .agent
            .post(format!("{}/sign", self.url))
            .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
            .send(&body[..])?;
        Ok(Answer { status: response.status().as_u16(), body: response.body_mut().read_to_vec()? })
    }
}

/// Larger than any thumbnail.
pub const PICTURE_WIDTH: u32 = 1_600;

/// A picture as a PNG.
pub fn picture() -> Vec<u8> {
    let image = RgbImage::from_fn(PICTURE_WIDTH, 1_200, |x, y| {
        Rgb([u8::try_from(x % 256).unwrap(), u8::try_from(y % 256).unwrap(), 128])
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}
