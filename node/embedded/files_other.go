//go:build !unix

package embedded

// maxFiles is how many files this process may open: no limit is known.
func maxFiles() int { return mostFiles * 2 }
