import { TidegateError } from './tidegate-error.js';

/** A parameter of a request or command is not valid: which one, why, and what it may be. */
export class InvalidParameterError extends TidegateError {
  readonly parameter: string;
  /** null: the values are not a short list. */
  readonly allowed: readonly (string | number)[] | null;

  constructor(parameter: string, reason: string, allowed: readonly (string | number)[] | null = null) {
    super('invalid_parameter', `${parameter}: ${reason}${allowed === null ? '' : `; allowed: ${allowed.join(', ')}`}`);
    this.name = 'InvalidParameterError';
    this.parameter = parameter;
    this.allowed = allowed;
  }
}
