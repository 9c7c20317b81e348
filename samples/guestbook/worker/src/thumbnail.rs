//! From a picture to a small JPEG.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, Rgb, RgbImage};

/// The media type of what [`make`] returns.
pub const MEDIA_TYPE: &str = "image/jpeg";
/// Edges of the thumbnail at most: twice what the page shows on a plain screen.
const WIDTH_MAX: u32 = 960;
const HEIGHT_MAX: u32 = 960;
/// A small file can claim to be a picture that fills the memory.
const EDGE_PIXELS_MAX: u32 = 12_000;
const MEMORY_BYTES_MAX: u64 = 256 << 20;
const QUALITY: u8 = 82;

/// Decodes within limits, turns as the camera was held, shrinks. What else the file held, such as the place where
/// it was taken, stays behind.
pub fn make(picture: &[u8]) -> Result<Vec<u8>, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(picture)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(EDGE_PIXELS_MAX);
    limits.max_image_height = Some(EDGE_PIXELS_MAX);
    limits.max_alloc = Some(MEMORY_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let image = DynamicImage::from_decoder(decoder)?;
    let small = image.width() <= WIDTH_MAX && image.height() <= HEIGHT_MAX;
    let mut image = if small { image } else { image.thumbnail(WIDTH_MAX, HEIGHT_MAX) };
    image.apply_orientation(orientation);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&on_white(&image))?;
    Ok(bytes)
}

/// JPEG knows no transparency.
fn on_white(image: &DynamicImage) -> RgbImage {
    let image = image.to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, alpha] = image.get_pixel(x, y).0.map(u32::from);
        let over = |c: u32| u8::try_from((c * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX);
        Rgb([over(r), over(g), over(b)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgba, RgbaImage};

    fn picture(width: u32, height: u32, pixel: [u8; 4]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let image = DynamicImage::from(RgbaImage::from_pixel(width, height, Rgba(pixel)));
        image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    }

    #[test]
    fn thumbnails_fit() {
        let check = |width, height, expected| {
            let thumbnail =
                image::load_from_memory(&make(&picture(width, height, [200, 30, 30, 255])).unwrap()).unwrap();
            assert_eq!((thumbnail.width(), thumbnail.height()), expected);
        };
        check(1920, 1280, (960, 640));
        check(100, 50, (100, 50));
        check(500, 2000, (240, 960));
        check(1, 1, (1, 1));
    }

    #[test]
    fn transparency_becomes_white() {
        let thumbnail =
            image::load_from_memory(&make(&picture(8, 8, [0, 0, 0, 0])).unwrap()).unwrap().to_rgb8();
        assert!(thumbnail.pixels().all(|pixel| pixel.0.iter().all(|c| *c > 250)));
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        let mut cut = picture(64, 64, [1, 2, 3, 255]);
        cut.truncate(60);
        for bytes in [&b""[..], b"hello", &cut] {
            assert!(make(bytes).is_err());
        }
    }
}
