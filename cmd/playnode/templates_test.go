package main

import (
	"bytes"
	"os"
	"testing"
)

// Go's templates call methods by names that they read, so a program that can run
// one has every exported method of every type in it: a seventh more, all of which
// a start maps into memory. It looks into bin/playnode as the last make build left
// it: what has changed since is seen by the next.
func TestTheProgramRunsNoTemplates(t *testing.T) {
	program, err := os.ReadFile("../../bin/playnode")
	if err != nil {
		t.Skip("SKIPPED: bin/playnode is not there as make build makes it")
	}
	if !bytes.Contains(program, []byte("playnode/node/http.NewHandler")) {
		t.Fatal("the look into the program is blind")
	}
	if bytes.Contains(program, []byte("text/template.(*state).evalField")) {
		t.Error("something runs a template: go build -ldflags=-dumpdep ./cmd/playnode 2>&1 | grep ReflectMethod tells what")
	}
}
