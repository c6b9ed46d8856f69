//go:build unix

package imagefolder

import (
	"os"
	"syscall"
)

// memoryMap maps a file for as long as the process lives.
func memoryMap(file *os.File, bytes int) ([]byte, error) {
	return syscall.Mmap(int(file.Fd()), 0, bytes, syscall.PROT_READ, syscall.MAP_SHARED)
}
