package main

import (
	"bytes"
	"strings"
	"testing"

	"rsc.io/qr"
)

// What is drawn is the code, module for module.
func TestQRIsDrawnWhole(t *testing.T) {
	link := "playnode://bafyreigdj/bar?n=k51qzi5uqu5dk8dxghj57mxbaxi2d4j12oq7el8gudge800x752xw0hbj9rpb5"
	c, err := qr.Encode(link, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSuffix(blocksQR(link), "\n"), "\n")
	if len(rows) != (c.Size+8+1)/2 {
		t.Fatalf("%d rows for %d modules", len(rows), c.Size)
	}
	for y := range c.Size {
		row := []rune(strings.TrimSuffix(strings.TrimPrefix(rows[(y+4)/2], "\x1b[30;107m"), "\x1b[0m"))
		for x := range c.Size {
			r := row[x+4]
			dark := r == '\u2588' || r == '\u2580' && y%2 == 0 || r == '\u2584' && y%2 == 1
			if dark != c.Black(x, y) {
				t.Fatalf("module %d, %d is drawn as %q", x, y, r)
			}
		}
	}
	if terminalQR(new(bytes.Buffer), link) != "" {
		t.Error("a code where there is no terminal")
	}
	if blocksQR(strings.Repeat("x", 4000)) != "" {
		t.Error("a code of what is too long for one")
	}
}
