package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// said is what was said to the user.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.b.String(), text)
}

// A real terminal: what is typed into it comes back from it only where it is
// shown.
func TestTheTerminalDoesNotShowAPassphrase(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals to be had here: %v", err)
	}
	defer master.Close()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	stdin := os.Stdin
	os.Stdin = tty
	defer func() { os.Stdin = stdin }()
	t.Setenv("PLAYNODE_PASSPHRASE", "")

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	hidden := func() bool {
		s, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		return err == nil && s.Lflag&unix.ECHO == 0
	}
	for _, c := range []struct{ again, want string }{{"word", "word"}, {"wood", ""}} {
		heard := new(said)
		a := &app{err: heard}
		got := make(chan string, 1)
		go func() {
			s, err := a.newPassphrase(ctx, "")
			if (err == nil) != (c.want != "") {
				t.Errorf("%q then %q: %v", "word", c.again, err)
			}
			got <- s
		}()
		for _, typed := range []struct{ prompt, line string }{{"passphrase: ", "word"}, {"again: ", c.again}} {
			for !heard.has(typed.prompt) || !hidden() {
				if ctx.Err() != nil {
					t.Fatalf("%q was not asked, or is asked with the typing shown", typed.prompt)
				}
				runtime.Gosched()
			}
			if _, err := master.WriteString(typed.line + "\n"); err != nil {
				t.Fatal(err)
			}
		}
		if s := <-got; c.want != "" && s != c.want {
			t.Errorf("read %q", s)
		}
	}
	if _, err := tty.WriteString("end"); err != nil {
		t.Fatal(err)
	}
	var shown []byte
	for b := make([]byte, 256); !bytes.Contains(shown, []byte("end")); {
		n, err := master.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, b[:n]...)
	}
	if strings.Contains(string(shown), "wo") {
		t.Errorf("the terminal shows %q", shown)
	}

	// ^C gives the terminal back as it was.
	gone, stop := context.WithCancel(ctx)
	a := &app{err: new(said)}
	done := make(chan error, 1)
	go func() { _, err := a.passphrase(gone, ""); done <- err }()
	for !hidden() && ctx.Err() == nil {
		runtime.Gosched()
	}
	stop()
	if err := <-done; err == nil || hidden() {
		t.Errorf("interrupted: %v, hidden: %v", err, hidden())
	}
	master.WriteString("\n") // lets the reader go
}
