// Package actormesh is the root of the module and holds no code: only the test
// that keeps the layers apart (arch_test.go). The public API is actormesh/mesh,
// the program is actormesh/cmd/meshnode, and docs/DESIGN.md says how it works.
package actormesh
