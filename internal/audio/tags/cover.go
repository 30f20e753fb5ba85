package tags

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"slices"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

const (
	// CoverBudget is the largest cover in bytes that is kept; larger ones are scaled down.
	CoverBudget = 256 << 10

	maxPixels = 4 << 20
	maxCover  = 12 << 20 // bytes that are looked at
	firstSide = 1000     // pixels of the longer side, the first try
	lastSide  = 60
)

type picture struct {
	media  string
	magic  []string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

// pictures are the kinds that are taken; SVG and others are programs, or unknown.
func pictures() []picture {
	return []picture{
		{"image/jpeg", []string{"\xff\xd8\xff"}, jpeg.DecodeConfig, jpeg.Decode},
		{"image/png", []string{"\x89PNG\r\n\x1a\n"}, png.DecodeConfig, png.Decode},
		{"image/gif", []string{"GIF87a", "GIF89a"}, gif.DecodeConfig, gif.Decode},
		{"image/webp", []string{"RIFF"}, webp.DecodeConfig, webp.Decode},
	}
}

// cover takes a picture over, or says why not.
func (t *Tags) cover(b []byte) {
	defer func() {
		if p := recover(); p != nil {
			t.Cover, t.CoverType = nil, ""
			t.Problems = append(t.Problems, "its cover is malformed and was left out")
		}
	}()
	if len(b) == 0 {
		return
	}
	if len(b) > maxCover {
		t.Problems = append(t.Problems, "its cover is larger than 12 MiB and was left out")
		return
	}
	p, err := look(b)
	switch {
	case errors.Is(err, errPixels):
		t.Problems = append(t.Problems, "its cover has more than 4 million pixels and was left out")
		return
	case errors.Is(err, errKind):
		t.Problems = append(t.Problems, "its cover is no JPEG, PNG, GIF or WebP and was left out")
		return
	case err == nil && len(b) <= CoverBudget:
		t.Cover, t.CoverType = bytes.Clone(b), p.media
		return
	}
	var img image.Image
	if err == nil {
		img, err = p.decode(bytes.NewReader(b))
	}
	if err != nil {
		t.Problems = append(t.Problems, "its cover is malformed and was left out")
		return
	}
	if small := shrink(img, firstSide, CoverBudget); small != nil {
		t.Cover, t.CoverType = small, "image/jpeg"
	}
}

var (
	errKind   = errors.New("it is no JPEG, PNG, GIF or WebP")
	errPixels = errors.New("it has more than 4 million pixels")
)

// look finds out what kind of picture b is, and that it can be decoded within
// bounds.
func look(b []byte) (picture, error) {
	for _, p := range pictures() {
		if !slices.ContainsFunc(p.magic, func(m string) bool { return bytes.HasPrefix(b, []byte(m)) }) {
			continue
		}
		c, err := p.config(bytes.NewReader(b))
		if err != nil {
			return p, err
		}
		if c.Width <= 0 || c.Height <= 0 {
			return p, errors.New("it is empty")
		}
		if int64(c.Width)*int64(c.Height) > maxPixels {
			return p, errPixels
		}
		return p, nil
	}
	return picture{}, errKind
}

// Picture makes a small JPEG of a picture, of at most side pixels on its
// longer side and budget bytes. It is decoded and encoded anew, so that nothing
// else that lay in the file comes along: no place, no camera, no comment.
func Picture(b []byte, side, budget int) (small []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			small, err = nil, errors.New("read picture: it is malformed")
		}
	}()
	if len(b) > maxCover {
		return nil, errors.New("read picture: it is larger than 12 MiB")
	}
	p, err := look(b)
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	img, err := p.decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	if small = shrink(img, side, budget); small == nil {
		return nil, fmt.Errorf("read picture: it does not become smaller than %d bytes", budget)
	}
	return small, nil
}

// shrink encodes a picture as a JPEG within the budget, on white.
func shrink(img image.Image, side, budget int) []byte {
	for ; side >= lastSide; side = side * 2 / 3 {
		w, h := img.Bounds().Dx(), img.Bounds().Dy()
		if w > side || h > side {
			if w > h {
				w, h = side, max(1, h*side/w)
			} else {
				w, h = max(1, w*side/h), side
			}
		}
		dst := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(dst, dst.Bounds(), image.White, image.Point{}, draw.Src)
		draw.CatmullRom.Scale(dst, dst.Bounds(), img, img.Bounds(), draw.Over, nil)
		var b bytes.Buffer
		if jpeg.Encode(&b, dst, &jpeg.Options{Quality: 85}) == nil && b.Len() <= budget {
			return b.Bytes()
		}
	}
	return nil
}
