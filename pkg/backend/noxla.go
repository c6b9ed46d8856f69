//go:build !cgo

package backend

const haveXLA = false // go-xla needs cgo
