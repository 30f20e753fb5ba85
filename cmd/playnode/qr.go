package main

import (
	"io"
	"strings"

	"github.com/mattn/go-isatty"
	"rsc.io/qr"
)

// terminalQR is text as a QR code for w, if that is a terminal; "" elsewhere,
// and for text that is too long for one.
func terminalQR(w io.Writer, text string) string {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok || !isatty.IsTerminal(f.Fd()) {
		return ""
	}
	return blocksQR(text)
}

// blocksQR draws two rows of a code in each line, dark on light with the
// quiet zone that scanners want, whatever the terminal's own colours.
func blocksQR(text string) string {
	c, err := qr.Encode(text, qr.L)
	if err != nil {
		return ""
	}
	const quiet = 4
	var b strings.Builder
	for y := -quiet; y < c.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;107m")
		for x := -quiet; x < c.Size+quiet; x++ {
			switch above, below := c.Black(x, y), c.Black(x, y+1); {
			case above && below:
				b.WriteString("\u2588")
			case above:
				b.WriteString("\u2580")
			case below:
				b.WriteString("\u2584")
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String()
}
