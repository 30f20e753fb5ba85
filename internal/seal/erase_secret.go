//go:build goexperiment.runtimesecret

package seal

import "runtime/secret"

// Erasing calls f. What f and all that it calls leave in registers and on its
// stack is erased before Erasing returns; what they allocate, once nothing
// refers to it and the garbage collector has seen that. This holds on Linux,
// on amd64 and arm64; elsewhere f is called and no more. Goroutines that f
// starts are not covered.
func Erasing(f func()) { secret.Do(f) }
