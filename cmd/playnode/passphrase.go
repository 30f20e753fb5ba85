package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// passphrase reads one: from the environment, a file, the terminal, which does
// not show it, or a line on stdin.
func (a *app) passphrase(ctx context.Context, file string) (string, error) {
	if file == "" {
		if s := os.Getenv("PLAYNODE_PASSPHRASE"); s != "" {
			return s, nil
		}
		if term.IsTerminal(int(os.Stdin.Fd())) {
			return a.secret(ctx, "passphrase: ")
		}
		a.say("passphrase (one line on stdin):")
		line, err := bufio.NewReader(io.LimitReader(os.Stdin, 4096)).ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", errors.Join(errors.New("wants a passphrase: PLAYNODE_PASSPHRASE, --passphrase-file, or a line on stdin"), err)
		}
		return line, nil
	}
	b, err := readSmall(file)
	if err != nil {
		return "", fmt.Errorf("read passphrase: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return "", fmt.Errorf("%s holds no passphrase", file)
	}
	return line, nil
}

// newPassphrase reads one that something is to be sealed with: a terminal,
// where a slip would show only on the day that it is needed, is asked twice.
func (a *app) newPassphrase(ctx context.Context, file string) (string, error) {
	s, err := a.passphrase(ctx, file)
	if err != nil || file != "" || os.Getenv("PLAYNODE_PASSPHRASE") != "" || !term.IsTerminal(int(os.Stdin.Fd())) {
		return s, err
	}
	again, err := a.secret(ctx, "the same again: ")
	if err == nil && again != s {
		err = errors.New("the two passphrases differ; nothing was written")
	}
	return s, err
}

// secret asks the terminal on stdin for a line, which it does not show.
func (a *app) secret(ctx context.Context, prompt string) (string, error) {
	fd := int(os.Stdin.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask for a passphrase: %w", err)
	}
	fmt.Fprint(a.err, prompt)
	defer fmt.Fprintln(a.err)
	type answer struct {
		line []byte
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		got <- answer{line, err}
	}()
	select {
	case x := <-got:
		if x.err == nil && len(x.line) == 0 {
			x.err = errors.New("wants a passphrase")
		}
		return string(x.line), x.err
	case <-ctx.Done(): // the terminal's ^C: the read goes on, until the process ends
		return "", errors.Join(ctx.Err(), term.Restore(fd, state))
	}
}
