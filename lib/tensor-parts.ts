/** The tensors that sparse, nested and sharded ones are made of, each under its own name. */
import type { PartRole } from './catalog'
import type { Tensor } from './tensor'

export abstract class TensorParts {
  /** The tensors this one is made of, by role; empty for a plain one. */
  abstract get parts(): Readonly<Partial<Record<PartRole, Tensor>>>

  /** Sparse COO: int64 of shape [sparse dimensions, values]. */
  get indices(): Tensor | undefined {
    return this.parts.indices
  }

  /** Sparse: the stored values. Nested: the elements of all rows. */
  get values(): Tensor | undefined {
    return this.parts.values
  }

  /** Sparse CSR and BSR: where each row begins among the values. */
  get crowIndices(): Tensor | undefined {
    return this.parts.crowIndices
  }

  /** Sparse CSR and BSR: the column of each value. */
  get colIndices(): Tensor | undefined {
    return this.parts.colIndices
  }

  /** Sparse CSC and BSC: where each column begins among the values. */
  get ccolIndices(): Tensor | undefined {
    return this.parts.ccolIndices
  }

  /** Sparse CSC and BSC: the row of each value. */
  get rowIndices(): Tensor | undefined {
    return this.parts.rowIndices
  }

  /** Nested: where each row begins; in old files there is only {@link rowOffsets}. */
  get offsets(): Tensor | undefined {
    return this.parts.offsets
  }

  /**
   * Nested (jagged): the length of each row, where rows do not fill the space between
   * {@link offsets}.
   */
  get lengths(): Tensor | undefined {
    return this.parts.lengths
  }

  /** Nested (strided): the shape of each row. */
  get sizes(): Tensor | undefined {
    return this.parts.sizes
  }

  /** Nested (strided): the stride of each row, in elements. */
  get strides(): Tensor | undefined {
    return this.parts.strides
  }

  /** Sharded (DTensor): what this file has of it. */
  get local(): Tensor | undefined {
    return this.parts.local
  }
}
