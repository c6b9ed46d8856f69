// Package directions is the root of a toolkit for one question: how much does a trained neural network rely on single
// directions of its activation space, and what does that say about generalization? It reproduces Morcos, Barrett,
// Rabinowitz and Botvinick, "On the importance of single directions for generalization" (ICLR 2018).
//
// There is no code here. Start with the command in cmd/directions, with package pkg/lab in a program, or with
// notebooks/00_start_here.ipynb.
package directions
