import { displayNameProblem, nameProblem } from '../domain/names.ts';
import { passwordProblem } from '../domain/passwords.ts';
import { requireValid } from './caller.ts';

const emailPattern = /^[^\s@]+@[^\s@]+$/;

/** Trimmed address; throws INVALID_INPUT naming `email`. */
export function requireEmail(text: string): string {
  const email = text.trim();
  requireValid('email', email.length <= 254 && emailPattern.test(email) ? undefined : 'must be an e-mail address');
  return email;
}

/** Username, full name, address and password of a person; returns the trimmed address. */
export function requireNewUser(input: { email: string; username: string; name: string; password: string }): string {
  requireValid('username', nameProblem('user', input.username));
  requireValid('name', displayNameProblem(input.name, 128));
  const email = requireEmail(input.email);
  requireValid('password', passwordProblem(input.password, { username: input.username, email }));
  return email;
}
