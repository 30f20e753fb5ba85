//go:build !linux

package pack

func (f osFile) taken() (int64, error) { return f.size() }

func (f osFile) sync() error { return f.Sync() }

func (f osFile) punch(at, n int64) error { return errNoHoles }
