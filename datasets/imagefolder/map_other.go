//go:build !unix

package imagefolder

import (
	"io"
	"os"
)

// memoryMap reads the file where it cannot be mapped.
func memoryMap(file *os.File, bytes int) ([]byte, error) {
	data := make([]byte, bytes)
	_, err := io.ReadFull(file, data)
	return data, err
}
