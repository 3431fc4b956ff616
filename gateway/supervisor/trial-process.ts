/** The process that a diff is made in: it lives for one answer. */
import { answerAside } from '../config/aside.js';
import { trialDiff, type TrialRequest } from './trial-diff.js';

answerAside((request: TrialRequest) => trialDiff(request));
