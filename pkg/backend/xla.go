//go:build cgo

package backend

import _ "github.com/gomlx/go-xla/compute/xla" // registers "xla"; it opens plugins at run time and downloads nothing

const haveXLA = true
